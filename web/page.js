"use strict";
// Everything works without this script. With it, times are those of the reader's zone, keys can be copied, the page looks
// for news without flickering, and keys that were shown do not come back with the browser's "forward" button.
(() => {
  const data = document.body.dataset;
  if (data.times) {
    const words = JSON.parse(data.times), lang = document.documentElement.lang;
    const names = new Intl.DateTimeFormat(lang === "en" ? "en-GB" : lang, { timeZoneName: "short" });
    const dayOf = (t) => Date.UTC(t.getFullYear(), t.getMonth(), t.getDate()) / 864e5;
    const two = (n) => String(n).padStart(2, "0");
    for (const time of document.querySelectorAll("time[data-as]")) {
      const t = new Date(time.dateTime), days = dayOf(t) - dayOf(new Date(data.now));
      const near = days === 0 ? 0 : days > 0 && days < 7 ? 1 : 2;
      const zone = names.formatToParts(t).find((part) => part.type === "timeZoneName").value;
      const values = {
        clock: `${two(t.getHours())}:${two(t.getMinutes())}\u00a0${zone}`, weekday: words.weekdays[t.getDay()],
        day: t.getDate() === 1 ? words.first : t.getDate(), month: words.months[t.getMonth()], year: t.getFullYear(),
      };
      time.textContent = [words[time.dataset.as]].flat().at(time.dataset.as === "past" ? 0 : near).replace(/{(\w+)}/g, (_, name) => values[name]);
    }
    document.getElementById("zone").hidden = true; // each time names its own
  }
  for (const button of document.querySelectorAll("button.copy")) {
    if (!navigator.clipboard) break;
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        const keys = "all" in button.dataset ? [...button.closest(".keys").querySelectorAll("li code")] : [button.previousElementSibling];
        await navigator.clipboard.writeText(keys.map((key) => key.textContent).join("\n"));
        button.textContent = button.dataset.done;
        document.getElementById("said").textContent = button.dataset.done;
      } catch { /* not allowed: the key can be marked and copied by hand */ }
    });
  }
  addEventListener("pageshow", (event) => {
    if (event.persisted && "revealed" in data) location.replace(location.pathname);
  });
  if (!data.refresh) return;
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store", headers: { "If-None-Match": `"${data.state}"` } });
      if (answer.status === 200) location.reload();
    } catch { /* offline: the next look will do */ }
  }, data.refresh * 1000);
})();
