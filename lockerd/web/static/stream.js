// Server-sent events read by hand: unlike EventSource this sees the heartbeat, so a silent daemon is noticed, too.

const SILENCE_MS = 10_000;
const RETRY_MS = 400;

/** Follow `url` for ever: `onMessage(object)` for each event, `onAway()` when the daemon is gone. */
export async function follow(url, onMessage, onAway) {
  for (;;) {
    const abort = new AbortController();
    let watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
    try {
      const response = await fetch(url, { signal: abort.signal, cache: "no-store" });
      if (!response.ok) throw new Error(String(response.status));
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        clearTimeout(watchdog);
        watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
        const events = (rest + value).split("\n\n");
        rest = events.pop();
        for (const event of events) if (event.startsWith("data: ")) onMessage(JSON.parse(event.slice(6)));
      }
    } catch {
      // Every way of losing the daemon is the same to the citizen.
    }
    clearTimeout(watchdog);
    onAway();
    await new Promise((resume) => setTimeout(resume, RETRY_MS));
  }
}
