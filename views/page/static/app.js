// The page: texts and colours, the stream that says what changed, and the parts that show it.
import { follow } from "./api.js";
import { poll, showTypes } from "./figures.js";
import { onLanguage, remember, remembered, setLanguage, t } from "./i18n.js";
import { refresh } from "./users.js";

for (const button of document.querySelectorAll("[data-lang]")) {
  button.onclick = () => { remember("potok.lang", button.dataset.lang); setLanguage(button.dataset.lang); };
}

const theme = document.getElementById("theme");
const system = matchMedia("(prefers-color-scheme: dark)");
let chosen = remembered("potok.theme");
function showTheme() {
  const dark = chosen ? chosen === "dark" : system.matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  theme.textContent = (dark ? "☀ " : "☾ ") + t(dark ? "light" : "dark");
}
theme.onclick = () => {
  chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  remember("potok.theme", chosen);
  showTheme();
};
system.onchange = showTheme;

const connection = document.getElementById("connection");
let state = "connecting", failing = false;
function showState() {
  const shown = state === "live" && failing ? "failing" : state;
  connection.dataset.state = shown;
  if (connection.textContent !== t(shown)) connection.textContent = t(shown);
}
onLanguage(() => { showTheme(); showState(); });
showTheme();
showState();

follow("v1/stream?snapshot=none&rows=none", (name, data) => {
  if (name === "event-types") showTypes(JSON.parse(data));
  refresh();
}, (next) => {
  state = next;
  showState();
  if (next === "live") { refresh(); ask(); }
});

async function ask() {
  failing = await poll();
  showState();
}

document.addEventListener("visibilitychange", ask);
(async () => {
  for (;;) {
    await ask();
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
})();
