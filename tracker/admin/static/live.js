// The live feed of the overview: shows what the server tells as it comes, by texts only, never as markup.
const MOST_ROWS = 50;
const SAY_AGAIN = 10_000; // milliseconds between two sentences for those who hear the page

const TRY_AGAIN = 30_000;

const part = document.querySelector("[data-live]");
const table = part.querySelector("table");
const rows = table.tBodies[0];
const said = part.querySelector("[role=status]");
const pause = part.querySelector("button");
const waiting = [];
let isPaused = false;
let unsaid = 0;
let lastSaid = 0;

function cell(text, href) {
  const td = document.createElement("td");
  const words = document.createElement("bdi");
  words.textContent = text || "–";
  if (href) {
    const link = document.createElement("a");
    link.href = href;
    link.append(words);
    td.append(link);
  } else {
    td.append(words);
  }
  return td;
}

function row(entry) {
  const tr = document.createElement("tr");
  tr.className = `new ${entry.kind}`;
  const at = document.createElement("td");
  const time = document.createElement("time");
  time.dateTime = entry.at;
  time.textContent = entry.when;
  at.append(time);
  tr.append(at, cell(entry.word), cell(entry.who), cell(entry.subject, entry.href), cell(entry.detail));
  return tr;
}

function show(entries) {
  part.querySelector(".empty")?.remove();
  table.parentElement.hidden = false;
  for (const entry of entries) rows.prepend(row(entry));
  while (rows.rows.length > MOST_ROWS) rows.deleteRow(-1);
  unsaid += entries.length;
  say(entries[entries.length - 1]);
}

function say(latest) {
  const now = Date.now();
  if (!unsaid || now - lastSaid < SAY_AGAIN) return;
  said.textContent = `${unsaid} new, the latest: ${latest.word}, ${latest.subject}`;
  unsaid = 0;
  lastSaid = now;
}

pause.hidden = false;
pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.textContent = isPaused ? "Go on" : "Pause";
  said.textContent = isPaused ? "Paused." : "Going on.";
  if (!isPaused && waiting.length) show(waiting.splice(0));
});

let position = part.dataset.live;
let source;

function connect() {
  source = new EventSource(`/live?after=${encodeURIComponent(position)}`);
  source.addEventListener("news", news);
  source.addEventListener("open", () => {
    part.dataset.state = "open";
    said.textContent = isPaused ? "Paused." : "Connected: news appears by itself.";
  });
  source.addEventListener("error", () => {
    const isOver = source.readyState === EventSource.CLOSED; // signed out, or too many listen
    part.dataset.state = isOver ? "over" : "waiting";
    said.textContent = isOver
      ? "The connection is closed. Reload the page, or wait a while."
      : "The connection broke; it is tried again.";
    if (isOver) setTimeout(connect, TRY_AGAIN);
  });
}

function news(event) {
  position = event.lastEventId;
  const { entries, skipped } = JSON.parse(event.data);
  if (skipped) said.textContent = `${skipped} more came too quickly to be shown.`;
  if (!entries.length) return;
  if (isPaused) {
    waiting.push(...entries);
    waiting.splice(0, waiting.length - MOST_ROWS);
    pause.textContent = `Go on (${waiting.length})`;
  } else {
    show(entries);
  }
}

connect();
addEventListener("pagehide", () => source.close());
addEventListener("pageshow", (event) => event.persisted && location.reload());
