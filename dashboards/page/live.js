// Brings the tiles, each by itself, and refreshes them where they are.
import { draw, remove, sort } from "/static/page.js";

const market = document.getElementById("market");
const grid = document.querySelector(".grid");
const form = document.querySelector("form");
let timer;
const waiting = new Set();

// The text of an address; what is wrong with it is told in words of the server.
async function asked(address) {
  const reply = await fetch(address).catch(() => null);
  if (!reply) throw new Error("the server cannot be reached");
  const text = await reply.text();
  if (!reply.ok) throw new Error(text.trim());
  return text;
}

// What somebody is at work with is left as it is.
const isInUse = (part) => part.contains(document.activeElement) || part.querySelector("details[open]");

async function show(tile) {
  const inside = tile.querySelector(".inside");
  if (waiting.has(tile) || isInUse(inside)) return;
  waiting.add(tile);
  try {
    const text = await asked(tile.dataset.src);
    // Meanwhile somebody may have begun.
    if (!isInUse(inside)) await put(inside, text);
    tile.dataset.shown = Number(tile.dataset.shown ?? 0) + 1;
  } catch (error) {
    complain(inside, error.message);
    tile.dataset.failed = "yes";
  } finally {
    inside.ariaBusy = "false";
    waiting.delete(tile);
  }
}

// New content in the old one's place: scrolled and sorted as it was.
async function put(inside, text) {
  const before = inside.querySelector(".body");
  const [top, left] = [before?.scrollTop ?? 0, before?.scrollLeft ?? 0];
  const sorted = inside.querySelector("th[aria-sort]");
  const next = document.createElement("div");
  next.innerHTML = text;
  if (sorted) {
    const header = next.querySelectorAll("th")[sorted.cellIndex];
    if (header) sort(header, sorted.ariaSort === "ascending");
  }
  // A tile may not shrink meanwhile: what lies below it would move.
  inside.style.minHeight = `${inside.offsetHeight}px`;
  remove(inside);
  inside.append(...next.childNodes);
  await draw(inside);
  inside.style.minHeight = "";
  inside.querySelector(".body")?.scrollTo(left, top);
}

// What was there stays, marked as old; where nothing was, the words take its place.
function complain(inside, words) {
  const time = inside.querySelector(".asked");
  const told = time ? document.createElement("span") : document.createElement("p");
  told.textContent = time ? `, not brought anew: ${words}` : words;
  if (!time) {
    told.className = "error";
    inside.replaceChildren(told);
  } else if (!time.classList.contains("old")) {
    time.classList.add("old");
    time.append(told);
  }
}

async function showMarket() {
  const held = market.contains(document.activeElement) && document.activeElement.getAttribute("href");
  try {
    market.innerHTML = await asked("/market");
    const links = [...market.querySelectorAll("a")];
    links.find((link) => link.getAttribute("href") === held)?.focus({ preventScroll: true });
  } catch (error) {
    lose(error.message);
  }
  tellAge();
}

// A page that nobody refreshes must not look as if it were of this moment.
function tellAge() {
  const time = market.querySelector("time");
  const old = Math.floor((Date.now() - new Date(time.dateTime)) / 60000);
  market.querySelector(".since").textContent = old > 0 ? `, ${old} min ago` : "";
  if (old > 1) lose();
}

// What a book was like is no word about this moment: calm least of all.
function lose(why) {
  const [stamp, time] = [market.querySelector(".asked"), market.querySelector("time")];
  stamp.classList.add("old");
  if (why && !stamp.querySelector(".why")) {
    const told = document.createElement("span");
    told.className = "why";
    told.textContent = `, not brought anew: ${why}`;
    stamp.append(told);
  }
  for (const book of market.querySelectorAll(".book:has(a)")) {
    const state = document.createElement("b");
    state.textContent = "not known";
    book.className = "book blind";
    book.replaceChildren(book.querySelector("a"), " ", state, ` since ${time.textContent}`);
  }
}

function showAll() {
  showMarket();
  grid.querySelectorAll("article").forEach(show);
}

document.addEventListener("pointed", (event) => {
  const at = event.detail / 1000;
  for (const link of event.target.closest("article").querySelectorAll(".zoom a")) {
    if (at >= link.dataset.first && at <= link.dataset.last) {
      location.assign(link.href);
      return;
    }
  }
});
// Esc closes what a tile has opened.
document.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && event.target.closest?.("details[open]");
  if (open) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});
// An address says what is chosen, and nothing else.
form.addEventListener("formdata", (event) => {
  for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
});
// And the form says what the address does, also where the browser remembers something else.
window.addEventListener("pageshow", () => {
  form.reset();
  form.elements.refresh.value = new URL(location).searchParams.get("refresh") ?? "";
  keepPace();
});
// A pace takes effect at once: nothing of the page is another for it.
form.elements.refresh.addEventListener("change", () => {
  const there = new URL(location);
  there.searchParams.delete("refresh");
  if (form.elements.refresh.value) there.searchParams.set("refresh", form.elements.refresh.value);
  history.replaceState(null, "", there);
  keepPace();
});

function keepPace() {
  clearInterval(timer);
  const seconds = Number(form.elements.refresh.value);
  if (seconds) timer = setInterval(() => document.hidden || showAll(), seconds * 1000);
}

grid.querySelectorAll("article").forEach(show);
setInterval(tellAge, 10000);
// Who comes back sees this moment.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && form.elements.refresh.value) showAll();
});
