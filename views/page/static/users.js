// The table of users: as much of the listing as is in sight, in the order and with the search that are asked for. The API gives
// pages by cursor. The page keeps the cursors of those that were reached, the rows of those in sight, and the table rows that
// one can see and a few more; the rest is empty space, so that the scroll bar is true. A place far down stays where it is while
// rows above it come and go: it is where its page's cursor says, and its number is that of when it was reached.
import { get } from "./api.js";
import { number, onLanguage, t, time } from "./i18n.js";

const $ = (id) => document.getElementById(id);
const scroll = $("users-scroll"), space = $("users-space"), table = $("users-table"), body = table.tBodies[0];
const heads = [...table.querySelectorAll("th[data-sorts]")];
const step = 100; // rows of a page, of those at the beginning
const far = 10; // from this page on they have as many rows as the API gives, so that the end of a long listing is not far
const longStep = 1000;
const spare = 15; // table rows above and below what is in sight
const tallest = 16_000_000; // px: browsers cut off higher elements
const unscaled = 1_000_000; // px at both ends of an element that stands for a longer listing
let sort = "-event_count", q = "";
let list = empty(), coming = null; // shown, and asked for
let running = false, again = false, stale = false, timer = 0, last = 0, asked = 0, height = 36;
let drawn = 0, counts = new Map(); // the first row of the table, and what it shows of whom
let shift = 0; // px of the listing that are left out above what is in sight, because the element is less tall than the listing
let laid = 0, before = 0; // for how long a listing shift is, and where scrolling was

// A list's page k begins at row starts[k]; cursors[k] asks for it. The last page of the two is not read yet, unless it is the end.
function empty() { return { cursors: [""], starts: [0], pages: new Map(), end: null }; }

const extent = (l) => l.end ?? l.starts.at(-1) + step;

function pageOf(l, row) {
  let low = 0, high = l.starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (l.starts[middle] <= row) low = middle; else high = middle - 1;
  }
  return low;
}

function rowOf(l, i) {
  const k = pageOf(l, i);
  return l.pages.get(k)?.[i - l.starts[k]];
}

// place is how far down the listing, in px, one looks.
const place = () => scroll.scrollTop + shift;

// A listing longer than the tallest element is scrolled as it is in small steps, and in proportion by jumps such as those of the
// scroll bar. The small steps take the scroll position from where it is in proportion; settle puts it back, and nothing moves.
// Near both ends there is no scale, so that no small step runs out of room.
const over = () => Math.max(0, laid - tallest);
const share = (px, length) => Math.min(1, Math.max(0, (px - unscaled) / (length - scroll.clientHeight - 2 * unscaled)));

function jump() { shift = Math.round(over() * share(scroll.scrollTop, tallest)); }

function settle() {
  if (!over() && !shift) return;
  const at = place(), top = at - over() * share(at, laid);
  if (Math.abs(top - scroll.scrollTop) > 1) scroll.scrollTop = top; // not for nothing: it ends a scrolling that goes on
  before = scroll.scrollTop;
  shift = Math.min(over(), Math.round(at - before)); // what is behind the end is no place
}

// sight returns from which row up to which the table should be.
function sight(l) {
  const top = l === list ? Math.floor(place() / height) : 0;
  const end = extent(l), first = Math.max(0, Math.min(top, end) - spare);
  return [first, Math.min(end, top + Math.ceil(scroll.clientHeight / height) + spare)];
}

// keep puts a page in, which says where the next one begins.
function keep(l, k, { users, next_cursor: next }) {
  const to = l.starts[k] + users.length;
  l.pages.set(k, users);
  if (!next) {
    l.end = to;
    l.cursors.length = l.starts.length = k + 1;
  } else {
    if (k + 1 >= l.cursors.length) l.end = null;
    const moved = to - l.starts[k + 1];
    l.cursors[k + 1] = next;
    l.starts[k + 1] = to;
    if (moved) for (let i = k + 2; i < l.starts.length; i++) l.starts[i] += moved; // pages of large rows are shorter
    if (moved && l.end !== null) l.end += moved;
  }
}

async function load() {
  if (running) { again = true; return; }
  running = true;
  const question = asked, l = coming ?? list, all = stale;
  stale = false;
  last = Date.now();
  try {
    let reading = all;
    const [first] = sight(l), from = pageOf(l, first);
    let k = from;
    for (; k < l.cursors.length && l.starts[k] < Math.max(1, sight(l)[1]); k++) {
      reading ||= !l.pages.has(k); // what comes behind a page that is read must fit to it
      if (!reading) continue;
      const answer = await get("v1/users?" + new URLSearchParams({ limit: k < far ? step : longStep, sort, q, ...(l.cursors[k] ? { cursor: l.cursors[k] } : {}) }));
      if (question !== asked) break;
      keep(l, k, answer);
    }
    for (const known of l.pages.keys()) if (known < from - 1 || known > k) l.pages.delete(known);
    if (question === asked) {
      if (l === coming) { list = coming; coming = null; scroll.scrollTop = shift = before = 0; }
      draw(all);
    }
  } catch (err) { // the stream says when there is something new, or the connection is back
    if (err.status === 400 && question === asked) coming = empty(); // a cursor of a view of another version
  }
  running = false;
  if (again) { again = false; if (stale) refresh(); else load(); }
}

function fill(tr, u, i, before) {
  tr.setAttribute("aria-rowindex", i + 2);
  while (tr.cells.length < 5) tr.insertCell().className = tr.cells.length > 3 ? "num" : "";
  const cells = [u.user_id, u.name ?? "—", u.email ?? "—", number(u.event_count), time(u.last_event_at)];
  cells.forEach((text, c) => {
    if (tr.cells[c].textContent === text) return;
    tr.cells[c].textContent = text;
    tr.cells[c].title = text.length > 24 ? text : ""; // it may be cut
  });
  tr.classList.toggle("changed", before !== undefined && before !== u.event_count);
}

// pad puts space in the place of the rows before first and from row to on.
function pad(first, to) {
  const above = Math.max(0, first * height - shift), rows = (to - first) * height;
  space.style.paddingTop = `${above}px`;
  space.style.paddingBottom = `${Math.max(0, Math.min(extent(list) * height, tallest) - above - rows)}px`;
}

// draw shows what is in sight of what is there. A table row stays the same element while it is in sight.
function draw(changes = false) {
  const length = extent(list) * height;
  if (laid !== length) { laid = length; settle(); }
  let [first, end] = sight(list);
  const wanted = first;
  while (first < end && !rowOf(list, first)) first++;
  let to = first;
  while (to < end && rowOf(list, to)) to++;
  if (first === to) first = to = wanted;
  while (body.rows.length && drawn < first) { body.deleteRow(0); drawn++; }
  while (body.rows.length && drawn + body.rows.length > to) body.deleteRow(-1);
  const [from, until] = body.rows.length ? [drawn, drawn + body.rows.length] : [first, first];
  const before = counts;
  counts = new Map();
  for (let i = from - 1; i >= first; i--) fill(body.insertRow(0), rowOf(list, i), i);
  drawn = first;
  for (let i = first; i < to; i++) {
    const u = rowOf(list, i);
    if (i >= until) fill(body.insertRow(), u, i);
    else if (changes && i >= from) fill(body.rows[i - first], u, i, before.get(u.user_id));
    counts.set(u.user_id, u.event_count);
  }
  pad(first, to); // before measuring: were the rows out and no space in their place, the browser would scroll up from the end
  const measured = body.rows.length ? body.getBoundingClientRect().height / body.rows.length : height;
  if (measured !== height) { height = measured; pad(first, to); }
  table.setAttribute("aria-rowcount", list.end === null ? -1 : list.end + 1); // -1: not known
  $("users-empty").hidden = list.end !== 0;
  const top = Math.min(Math.floor(place() / height) + 1, to), bottom = Math.min(to, Math.floor((place() + scroll.clientHeight - table.tHead.offsetHeight) / height));
  $("shown").textContent = to > first ? `${t("rows")} ${number(top)}–${number(Math.max(top, bottom))}` : "";
}

// missing says that rows in sight are not there.
function missing() {
  const [first, end] = sight(list);
  for (let k = pageOf(list, first); k < list.cursors.length && list.starts[k] < end; k++) if (!list.pages.has(k)) return true;
  return false;
}

let moving = 0, resting = 0;
function look() {
  moving ||= requestAnimationFrame(() => {
    moving = 0;
    const top = scroll.scrollTop, end = scroll.scrollHeight - scroll.clientHeight;
    if (Math.abs(top - before) > tallest / scroll.clientHeight / 4 || top <= 0 || top >= end - 1) jump(); // a pixel of the bar is more
    before = top;
    clearTimeout(resting);
    if (laid > tallest) resting = setTimeout(() => { settle(); draw(); }, 200);
    draw();
    if (missing()) load();
  });
}

// refresh asks again, at most twice a second.
export function refresh() {
  stale = true;
  if (timer || document.hidden) return;
  timer = setTimeout(() => { timer = 0; load(); }, Math.max(0, 500 - (Date.now() - last)));
}

function ask() {
  asked++;
  coming = empty();
  for (const th of heads) {
    if (!th.dataset.sorts.split(" ").includes(sort)) th.removeAttribute("aria-sort");
    else th.setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending");
  }
  stale = true;
  load();
}

for (const th of heads) {
  th.querySelector("button").onclick = () => {
    const sorts = th.dataset.sorts.split(" ");
    sort = sorts[(sorts.indexOf(sort) + 1) % sorts.length];
    ask();
  };
}
let typing = 0;
$("q").oninput = (e) => {
  clearTimeout(typing);
  typing = setTimeout(() => { q = e.target.value; ask(); }, 200);
};
scroll.addEventListener("scroll", look, { passive: true });
new ResizeObserver(look).observe(scroll);
document.addEventListener("visibilitychange", refresh);
onLanguage(() => draw(true));
ask();
