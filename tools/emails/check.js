// check.js FOLDER looks for what e-mail programs do not support in the e-mails of a folder (*.html), by the data of
// caniemail.com. What is accepted is listed below, with the reason; anything else fails.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { caniemail, rawData } from "caniemail";

const clients = [
  "apple-mail.ios", "apple-mail.macos", "gmail.android", "gmail.desktop-webmail", "gmail.ios", "gmail.mobile-webmail",
  "gmx.android", "gmx.desktop-webmail", "gmx.ios", "outlook.android", "outlook.ios", "outlook.macos",
  "outlook.outlook-com", "outlook.windows", "samsung-email.android", "web-de.android", "web-de.desktop-webmail",
  "web-de.ios", "yahoo.android", "yahoo.desktop-webmail", "yahoo.ios",
];

// accepted are features without which an e-mail reads as well.
const accepted = {
  "<body> element": "the table around everything has the same color",
  "<style> element": "colors on a dark ground, room on a narrow screen and the box of a key are extras; the rest is inline",
  "@media": "colors on a dark ground and room on a narrow screen are extras",
  "Type selector": "of the extras in the style element",
  "color-scheme meta tag": "without it the program decides whether it has dark colors",
  "lang attribute": "a screen reader may read it in the language of the mailbox",
  "border-radius": "corners are square",
  "overflow": "the linter takes overflow-wrap for it",
  "overflow-wrap": "where nothing breaks long words, the e-mail is as wide as its longest",
  "word-break": "as overflow-wrap, each for programs that do not have the other",
  "role attribute": "a screen reader may announce a table that only lays out",
  "white-space": "a licence of several lines is in a pre element, which keeps them",
};

// The linter fails on a feature that nobody has tested in a program: here it counts as unknown.
for (const feature of rawData.data) {
  for (const [family, platform] of clients.map((client) => client.split("."))) {
    feature.stats[family] ??= {};
    feature.stats[family][platform] ??= { untested: "u" };
  }
}

const files = readdirSync(process.argv[2]).filter((name) => name.endsWith(".html")).sort();
const found = {}, used = new Set();
const note = (text, file) => (found[text] ??= []).push(file);
for (const file of files) {
  const html = readFileSync(join(process.argv[2], file), "utf8");
  const without = {};
  for (const [client, issues] of caniemail({ clients, html }).issues.errors) {
    for (const { title } of issues) (without[title] ??= new Set()).add(client);
  }
  for (const [title, programs] of Object.entries(without)) {
    used.add(title);
    if (!accepted[title]) note(`${title}: ${[...programs].join(", ")}`, file);
  }
}
for (const title of Object.keys(accepted)) {
  if (!used.has(title)) note(`${title} is accepted in check.js, and no e-mail has it`, "check.js");
}
for (const [text, where] of Object.entries(found)) {
  console.error(`${text}\n  in ${where.slice(0, 5).join(", ")}${where.length > 5 ? `, and ${where.length - 5} more` : ""}`);
}
console.log(`${files.length} e-mails, ${clients.length} programs: ${Object.keys(found).length} findings`);
process.exit(files.length > 0 && Object.keys(found).length === 0 ? 0 : 1);
