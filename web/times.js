"use strict";
// Times are written in UTC, and by this script in the reader's zone: `data-times` has the formats, `data-now` by which
// times are near or far.
(() => {
  const data = document.body.dataset;
  if (!data.times) return;
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
  const zone = document.getElementById("zone");
  if (zone) zone.hidden = true; // each time names its own
})();
