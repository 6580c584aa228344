// The event types as bars, the totals, the graphs of the raw topics, rejected messages, how old all that is, and how the stages are.
import { get } from "./api.js";
import { ago, number, onLanguage, t, time } from "./i18n.js";

const $ = (id) => document.getElementById(id);
const svgNS = "http://www.w3.org/2000/svg";
let types = { event_types: [], total: 0 }, stats = null, topics = [], ready = null;

const text = (el, value) => { if (el.textContent !== value) el.textContent = value; };

export function showTypes(next) {
  types = next;
  const body = $("types").tBodies[0];
  const top = types.event_types.slice(0, 200); // the rest is in the API
  const most = top.length ? top[0].count : 1;
  while (body.rows.length > top.length) body.deleteRow(-1);
  top.forEach((row, i) => {
    let tr = body.rows[i];
    if (!tr) {
      tr = body.insertRow();
      const th = document.createElement("th"), track = document.createElement("div"), fill = document.createElement("div");
      th.scope = "row"; track.className = "bar-track"; fill.className = "bar-fill";
      tr.append(th);
      track.append(fill);
      tr.insertCell().append(track);
      tr.insertCell().className = "num";
    }
    text(tr.cells[0], row.event === "" ? "“”" : row.event);
    tr.querySelector(".bar-fill").style.width = `${(100 * row.count) / most}%`;
    text(tr.cells[2], number(row.count));
  });
  text($("types-total"), number(types.total));
  $("types-empty").hidden = top.length > 0;
  $("types").hidden = top.length === 0;
}

function showStats() {
  if (!stats) return;
  const tiles = [
    ["usersWithEvents", stats.users_with_events], ["usersKnown", stats.users_known], ["eventsCounted", stats.events_counted],
    ["eventsUnknown", stats.events_of_unknown_users], ["lagTotal", stats.behind], ["rejectedTotal", stats.messages_rejected], ["lost", stats.lost],
  ].filter(([key, n]) => key !== "lost" || n > 0);
  const list = $("tiles");
  while (list.children.length > tiles.length) list.lastChild.remove();
  tiles.forEach(([key, n], i) => {
    let tile = list.children[i];
    if (!tile) {
      tile = list.appendChild(document.createElement("div"));
      tile.append(document.createElement("dt"), document.createElement("dd"));
    }
    tile.className = key === "lost" ? "bad" : "";
    text(tile.children[0], t(key));
    text(tile.children[1], number(n));
  });
  const body = $("rejected").tBodies[0];
  body.replaceChildren(...stats.rejected.filter((r) => r.count > 0).map((r) => {
    const tr = document.createElement("tr");
    for (const value of [r.topic, r.reason, number(r.count)]) tr.insertCell().textContent = value;
    tr.cells[2].className = "num";
    return tr;
  }));
  $("rejected").hidden = body.rows.length === 0;
  $("rejected-none").hidden = body.rows.length > 0;
}

// A point in five seconds is what the eye can tell apart.
const step = 5, width = 180, height = 100;

function slots(points) {
  const end = points.length ? Math.floor(Date.parse(points.at(-1).time) / 1000 / step) : 0;
  const out = Array.from({ length: width }, () => ({ published: 0, consumed: 0, lag: 0, n: 0 }));
  for (const p of points) {
    const s = out[width - 1 - (end - Math.floor(Date.parse(p.time) / 1000 / step))];
    if (!s) continue;
    s.published += p.published; s.consumed += p.consumed; s.lag = Math.max(s.lag, p.lag); s.n++;
  }
  return out.map((s) => (s.n ? { published: s.published / s.n, consumed: s.consumed / s.n, lag: s.lag } : null));
}

function line(values, top, area) {
  let d = "", from = -1, to = -1;
  values.forEach((v, i) => {
    if (v === null) return;
    d += `${i - 1 === to && d ? "L" : "M"}${i} ${(height - 2 - (v / top) * (height - 6)).toFixed(1)}`;
    if (from < 0) from = i;
    to = i;
  });
  return area && d ? `${d}L${to} ${height}L${from} ${height}Z` : d;
}

const svg = (name, attributes) => {
  const el = document.createElementNS(svgNS, name);
  for (const [k, v] of Object.entries(attributes)) el.setAttribute(k, v);
  return el;
};

function showGraphs() {
  $("graphs").replaceChildren(...topics.map((topic) => {
    const points = slots(topic.points), rates = points.flatMap((p) => (p ? [p.published, p.consumed] : []));
    const top = Math.max(1, ...rates), lag = Math.max(1, ...points.map((p) => p?.lag ?? 0));
    const now = points.at(-1) ?? { published: 0, consumed: 0, lag: 0 };
    const figure = document.createElement("figure"), caption = document.createElement("figcaption"), name = document.createElement("b");
    name.textContent = topic.topic;
    const say = document.createElement("span");
    say.textContent = `${t("published")} ${t("perSecond", now.published)} · ${t("consumed")} ${t("perSecond", now.consumed)} · ${t("lag")} ${number(now.lag)}`;
    caption.append(name, say);
    const picture = svg("svg", { viewBox: `0 0 ${width - 1} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    for (const y of [4, 52]) picture.append(svg("line", { x1: 0, x2: width, y1: y, y2: y }));
    const of = (key) => points.map((p) => p && p[key]);
    picture.append(
      svg("path", { class: "lag", d: line(of("lag"), Math.max(lag, top), true) }),
      svg("path", { class: "published", d: line(of("published"), top) }), svg("path", { class: "consumed", d: line(of("consumed"), top) }));
    const axis = document.createElement("div");
    axis.className = "axis";
    for (const label of [t("ago"), `${t("highest", top)} · ${t("highestLag", lag > 1 ? lag : now.lag)}`, t("now")]) {
      axis.appendChild(document.createElement("span")).textContent = label;
    }
    figure.append(caption, picture, axis);
    return figure;
  }));
}

const waitingStages = () => (ready?.ready === false ? ready.detail ?? [] : []).filter((stage) => !stage.ready);
const fails = () => waitingStages().some((stage) => stage.error);

const element = (name, content, attributes = {}) => Object.assign(document.createElement(name), { textContent: content }, attributes);

// Stages that are not ready fail, restore their tables, or are only starting: each is said for itself.
function showReadiness() {
  const waiting = waitingStages(), failing = waiting.filter((stage) => stage.error);
  const left = (stage) => (stage.progress ?? []).filter((p) => !p.done);
  $("failing").hidden = failing.length === 0;
  $("failing-list").replaceChildren(...failing.map((stage) => {
    const li = element("li", ""), says = element("p", `${t("programSays")} `);
    says.append(element("samp", stage.error, { lang: "en" }));
    li.append(element("b", stage.stage), ` · ${t("failures", stage.failures)}`, says);
    return li;
  }));
  const bars = waiting.flatMap((stage) => left(stage).map((p) => {
    const li = element("li", ""), label = element("label", `${stage.stage} ${p.table} ${p.partition}`);
    label.append(element("progress", "", { max: Math.max(1, p.end), value: p.offset }));
    li.append(label, `${number(p.offset)} / ${number(p.end)}`);
    return li;
  }));
  $("restore").hidden = bars.length === 0;
  $("restore-list").replaceChildren(...bars);
  const starting = waiting.filter((stage) => !stage.error && left(stage).length === 0).map((stage) => stage.stage);
  $("starting").hidden = starting.length === 0;
  text($("starting"), starting.length ? `${t("starting")} ${starting.join(", ")}` : "");
}

// Without brokers the view answers with what it knows, and has no new totals: an old 0 must not pass for a new one.
const old = 10_000; // ms, several polls
const measured = {}; // when the figures were, by what they were asked with

function showAge() {
  if (document.hidden) return; // nothing is asked meanwhile
  const at = Math.min(...Object.values(measured)), age = Date.now() - at;
  const aged = age > old && Number.isFinite(age);
  $("age").hidden = !aged;
  $("tiles").classList.toggle("old", aged);
  if (aged) text($("age"), `${t("asOf")} ${time(at)} (${ago(age)}). ${t("noneNewer")}`);
}

// poll reads what the stream does not carry, and returns whether something fails.
export async function poll() {
  if (document.hidden) return fails();
  try {
    ready = await (await fetch("readyz", { cache: "no-store" })).json();
  } catch { return fails(); } // the connection's state says it
  showReadiness();
  await Promise.allSettled([
    get("v1/stats", (at) => { measured.stats = at; }).then((s) => { stats = { ...s, behind: s.partitions.reduce((sum, p) => sum + p.lag, 0) }; showStats(); }),
    get("v1/throughput", (at) => { measured.throughput = at; }).then((answer) => { topics = answer.topics; showGraphs(); }),
  ]);
  showAge();
  return fails();
}

setInterval(showAge, 1000);
onLanguage(() => { showTypes(types); showStats(); showGraphs(); showReadiness(); showAge(); });
