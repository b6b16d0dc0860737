"use strict";
// Everything works without this script. With it, offers open as dialogs, the question of consent is asked of those alone
// whom it concerns, a slip in the e-mail address is pointed out, what was typed outlives a change of the order, and a
// page that waits looks for news.
(() => {
  const data = document.body.dataset;
  const wrong = document.getElementById("wrong");
  if (wrong) wrong.focus();
  // The answer to a form is the page, too: without this, whoever comes back to it is asked to send the form again.
  if (location.pathname !== data.here) history.replaceState(null, "", data.here + location.hash);
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  if (data.refresh) setInterval(() => { if (!document.hidden) location.replace(data.here); }, data.refresh * 1000);
  const order = document.getElementById("order");
  if (!order) return;

  // What this tab remembers of this page. A browser may forbid it; then nothing is remembered.
  const remember = (what, value) => {
    try { sessionStorage.setItem(what + " " + location.pathname, value); } catch { /* forbidden */ }
  };
  const recall = (what, forget) => {
    try {
      const value = sessionStorage.getItem(what + " " + location.pathname);
      if (forget) sessionStorage.removeItem(what + " " + location.pathname);
      return value;
    } catch { return null; }
  };

  // Changing quantities and answering offers loads the page anew: what was typed is put back.
  for (const form of document.forms) {
    if (form !== order) form.addEventListener("submit", () => {
      remember("typed", JSON.stringify([...new FormData(order)].filter(([name]) => name !== "version")));
    });
  }
  for (const [name, value] of JSON.parse(recall("typed", true) || "[]")) {
    const field = order.elements[name];
    if (!field) continue;
    if (field.type === "checkbox") field.checked = field.value === value;
    else if (value) field.value = value;
    if (value && field.closest("details")) field.closest("details").open = true;
  }
  order.addEventListener("submit", () => {
    setTimeout(() => { order.querySelector(".pay").disabled = true; }, 0); // pressed twice is harmless, and looks broken
  });

  const country = order.elements.country;
  const vat = order.elements.companyIdentifier;
  const consent = order.querySelector(".consent");
  if (consent) {
    const asked = () => {
      const concerned = country.value
        ? consent.dataset.countries.split(" ").includes(country.value) : consent.dataset.known !== "not asked";
      consent.hidden = !concerned || Boolean(vat && vat.value.trim());
      consent.querySelector(".hint").hidden = Boolean(country.value || consent.dataset.known);
    };
    for (const field of [country, vat]) if (field) field.addEventListener("input", asked);
    asked();
  }

  const email = order.elements.email;
  const to = document.getElementById("to");
  const slip = document.getElementById("slip");
  const domains = ["gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "hotmail.fr", "live.com", "yahoo.com",
    "yahoo.fr", "icloud.com", "web.de", "gmx.de", "gmx.net", "t-online.de", "freenet.de", "orange.fr", "free.fr",
    "laposte.net", "wanadoo.fr", "sfr.fr", "proton.me", "protonmail.com"];
  // near says that one letter is missing, added or different, or that two are swapped.
  const near = (a, b) => {
    let i = 0;
    while (i < a.length && a[i] === b[i]) i++;
    const rest = (s, n) => s.slice(i + n);
    return a !== b && (rest(a, 1) === rest(b, 1) || rest(a, 1) === rest(b, 0) || rest(a, 0) === rest(b, 1) ||
      (a[i] === b[i + 1] && a[i + 1] === b[i] && rest(a, 2) === rest(b, 2)));
  };
  const typed = () => {
    to.textContent = email.value.trim() || to.dataset.known;
    to.parentElement.hidden = !to.textContent;
    const at = email.value.trim().lastIndexOf("@");
    const domain = email.value.trim().slice(at + 1).toLowerCase();
    const meant = at > 0 && !domains.includes(domain) && domains.find((known) => near(domain, known));
    slip.hidden = !meant;
    if (meant) {
      slip.dataset.address = email.value.trim().slice(0, at + 1) + meant;
      slip.textContent = slip.dataset.text.replace("{address}", slip.dataset.address);
    }
  };
  email.addEventListener("input", typed);
  slip.addEventListener("click", () => {
    email.value = slip.dataset.address;
    typed();
    email.focus();
  });
  typed();

  // Offers open as a dialog, once: those of a visit at once, those of leaving when the mouse leaves the window. Closed
  // without an answer, they stand on the page again.
  const pop = (which) => {
    const offers = document.querySelector(`.offers[data-when="${which}"]`);
    if (!offers || recall(which) || document.querySelector("dialog")) return;
    remember(which, "shown");
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-labelledby", offers.querySelector("h2").id);
    offers.replaceWith(dialog);
    dialog.append(offers);
    dialog.addEventListener("close", () => dialog.replaceWith(offers));
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.showModal();
  };
  if (!wrong && !document.querySelector(".notice")) pop("visit");
  document.documentElement.addEventListener("pointerleave", (event) => {
    const typing = document.activeElement && document.activeElement.matches("input, select, textarea");
    if (!typing && event.pointerType === "mouse") pop("leave");
  });
})();
