// Sends a page's events to freshrank. Load it with: <script src="http://HOST/v1/snippet.js" data-user="u1" defer></script>
// Then call freshrank("click", "i9", {list: source, session: "s3"}): the source of a list tells which list was shown.
// Events are sent together once a second, and when the page is left.
(() => {
  const script = document.currentScript, url = new URL("/v1/events", script.src), user = script.dataset.user;
  let waiting = [];
  const send = () => {
    if (!waiting.length) return;
    const body = JSON.stringify(waiting.splice(0, 200));
    if (!navigator.sendBeacon(url, body)) fetch(url, {method: "POST", body, keepalive: true}).catch(() => {});
  };
  window.freshrank = (event, item, more = {}) => {
    waiting.push({user, item, event, timestamp: Date.now() / 1000, id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, ...more});
    if (waiting.length === 1) setTimeout(send, 1000);
  };
  addEventListener("visibilitychange", () => document.visibilityState === "hidden" && send());
  addEventListener("pagehide", send);
})();
