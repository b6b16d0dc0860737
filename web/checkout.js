"use strict";
// Everything works without this script. With it, the question of consent is asked of those alone whom it concerns, and
// a page that waits looks for news.
(() => {
  const data = document.body.dataset;
  const wrong = document.getElementById("wrong");
  if (wrong) wrong.focus();
  const consent = document.querySelector(".consent");
  if (consent) {
    const country = document.getElementById("country");
    const vat = document.getElementById("companyIdentifier");
    const asked = () => {
      const concerned = !vat.value.trim() && (!country.value || consent.dataset.countries.split(" ").includes(country.value));
      consent.hidden = !concerned;
      consent.querySelector(".hint").hidden = Boolean(country.value);
    };
    for (const field of [country, vat]) field.addEventListener("input", asked);
    asked();
  }
  const order = document.getElementById("order");
  if (order) order.addEventListener("submit", () => {
    setTimeout(() => { order.querySelector(".pay").disabled = true; }, 0); // pressed twice is harmless, and looks broken
  });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  if (data.refresh) setInterval(() => { if (!document.hidden) location.reload(); }, data.refresh * 1000);
})();
