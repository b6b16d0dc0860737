"use strict";
// Everything works without this script. With it, keys can be copied, the page looks for news without flickering, and
// keys that were shown do not come back with the browser's "forward" button.
(() => {
  const data = document.body.dataset;
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
