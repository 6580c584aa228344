// The table of users: the first page and what was loaded after it, in the order and with the search that are asked for.
import { get } from "./api.js";
import { number, onLanguage, t, time } from "./i18n.js";

const table = document.getElementById("users-table");
const body = table.tBodies[0];
const more = document.getElementById("more");
const heads = [...table.querySelectorAll("th[data-sorts]")];
const page = 100;
let sort = "-event_count", q = "", rows = [], cursor = "", wanted = page;
let running = false, again = false, timer = 0, last = 0, asked = 0;

const url = (limit, after) => "v1/users?" + new URLSearchParams({ limit, sort, q, ...(after ? { cursor: after } : {}) });

function draw(previous = new Map()) {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((u, i) => {
    const tr = body.rows[i] ?? body.insertRow();
    while (tr.cells.length < 5) tr.insertCell().className = tr.cells.length > 3 ? "num" : "";
    const cells = [u.user_id, u.name ?? "—", u.email ?? "—", number(u.event_count), time(u.last_event_at)];
    cells.forEach((text, c) => { if (tr.cells[c].textContent !== text) tr.cells[c].textContent = text; });
    const before = previous.get(u.user_id);
    tr.classList.toggle("changed", before !== undefined && before !== u.event_count);
  });
  document.getElementById("users-empty").hidden = rows.length > 0;
  document.getElementById("shown").textContent = t("shown", rows.length);
  more.hidden = !cursor;
}

async function load() {
  if (running) { again = true; return; }
  running = true;
  last = Date.now();
  const question = ++asked;
  try {
    const previous = new Map(rows.map((u) => [u.user_id, u.event_count]));
    const fresh = [];
    let after = "";
    do {
      const answer = await get(url(Math.min(wanted - fresh.length, 1000), after));
      fresh.push(...answer.users);
      after = answer.next_cursor ?? "";
    } while (after && fresh.length < wanted);
    if (question === asked) { rows = fresh; cursor = after; draw(previous); }
  } catch { /* the stream says when there is something new, or the connection is back */ }
  running = false;
  if (again) { again = false; refresh(); }
}

// refresh asks again, at most twice a second.
export function refresh() {
  if (timer || document.hidden) return;
  timer = setTimeout(() => { timer = 0; load(); }, Math.max(0, 500 - (Date.now() - last)));
}

function ask() {
  asked++;
  wanted = page;
  for (const th of heads) {
    if (!th.dataset.sorts.split(" ").includes(sort)) th.removeAttribute("aria-sort");
    else th.setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending");
  }
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
document.getElementById("q").oninput = (e) => {
  clearTimeout(typing);
  typing = setTimeout(() => { q = e.target.value; ask(); }, 200);
};
more.onclick = () => { wanted = rows.length + page; load(); };
document.addEventListener("visibilitychange", refresh);
onLanguage(() => draw());
ask();
