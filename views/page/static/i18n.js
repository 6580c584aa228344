// Texts in English and Russian. The two headings of the results are the reference's.
const texts = {
  en: {
    skip: "Skip to the users", language: "Language", restoring: "Tables are being restored", types: "Event types:", users: "Events by user:",
    typesCaption: "Number of events of each type", event: "event", count: "count", total: "total", typesEmpty: "No events yet.",
    flow: "Messages of the last 15 minutes", published: "published", consumed: "consumed", lag: "lag", rejected: "Rejected messages",
    rejectedCaption: "Rejected messages by topic and reason", topic: "topic", reason: "reason", rejectedNone: "None.",
    search: "Search", usersCaption: "Users with their number of events", name: "name", email: "email", eventCount: "event_count",
    lastEvent: "last event", usersEmpty: "Nobody to show.", api: "API description", metrics: "Metrics",
    login: "This view asks for a token", token: "Token", enter: "Enter", wrongToken: "That token is not accepted.",
    live: "Live", connecting: "Connecting…", reconnecting: "Connection lost, reconnecting…", waiting: "Tables are being restored…",
    dark: "Dark", light: "Light", usersKnown: "users known", usersWithEvents: "users with events", eventsCounted: "events counted",
    eventsUnknown: "of unknown users", lagTotal: "messages behind", rejectedTotal: "rejected", lost: "lost", rows: "Rows",
    failing: "Something is failing", failingHint: "Potok tries again by itself, and shows meanwhile what it knows. The command potok doctor helps to find the cause.",
    programSays: "The program says:", failures: "failures in a row: {n}", starting: "Starting:", asOf: "Figures as of", noneNewer: "There are none newer.",
    perSecond: "{n}/s", ago: "15 min ago", now: "now", highest: "max {n}/s", highestLag: "lag max {n}",
  },
  ru: {
    skip: "К пользователям", language: "Язык", restoring: "Таблицы восстанавливаются", types: "Количество видов событий:", users: "События по пользователям:",
    typesCaption: "Количество событий каждого вида", event: "event", count: "count", total: "всего", typesEmpty: "Событий пока нет.",
    flow: "Сообщения за последние 15 минут", published: "опубликовано", consumed: "прочитано", lag: "отставание", rejected: "Отклонённые сообщения",
    rejectedCaption: "Отклонённые сообщения по топикам и причинам", topic: "топик", reason: "причина", rejectedNone: "Нет.",
    search: "Поиск", usersCaption: "Пользователи и количество их событий", name: "name", email: "email", eventCount: "event_count",
    lastEvent: "последнее событие", usersEmpty: "Показать некого.", api: "Описание API", metrics: "Метрики",
    login: "Нужен токен доступа", token: "Токен", enter: "Войти", wrongToken: "Этот токен не подходит.",
    live: "В реальном времени", connecting: "Соединение…", reconnecting: "Связь потеряна, восстанавливаем…", waiting: "Таблицы восстанавливаются…",
    dark: "Тёмная", light: "Светлая", usersKnown: "известных пользователей", usersWithEvents: "пользователей с событиями", eventsCounted: "событий учтено",
    eventsUnknown: "от неизвестных", lagTotal: "сообщений в очереди", rejectedTotal: "отклонено", lost: "потеряно", rows: "Строки",
    failing: "Что-то не работает", failingHint: "Potok сам пробует снова, а пока показывает то, что знает. Найти причину поможет команда potok doctor.",
    programSays: "Программа сообщает:", failures: "сбоев подряд: {n}", starting: "Запускаются:", asOf: "Данные на", noneNewer: "Более новых нет.",
    perSecond: "{n}/с", ago: "15 мин назад", now: "сейчас", highest: "макс. {n}/с", highestLag: "отставание макс. {n}",
  },
};

const stored = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
export const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private mode */ } };
export const remembered = stored;

let lang = texts[stored("potok.lang")] ? stored("potok.lang") : navigator.language.toLowerCase().startsWith("ru") ? "ru" : "en";
let numbers, times, ages;
const listeners = [];

export const t = (key, n) => texts[lang][key].replace("{n}", n === undefined ? "" : number(n));
export const number = (n) => numbers.format(n);
export const time = (at) => (at ? times.format(new Date(at)) : "—");
export function ago(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return ages.format(-seconds, "second");
  return seconds < 7200 ? ages.format(-Math.floor(seconds / 60), "minute") : ages.format(-Math.floor(seconds / 3600), "hour");
}
export const onLanguage = (listener) => listeners.push(listener);

export function setLanguage(next = lang) {
  lang = next;
  numbers = new Intl.NumberFormat(lang, { maximumFractionDigits: 1 });
  times = new Intl.DateTimeFormat(lang, { dateStyle: "short", timeStyle: "medium" });
  ages = new Intl.RelativeTimeFormat(lang);
  document.documentElement.lang = lang;
  for (const el of document.querySelectorAll("[data-t]")) el.textContent = t(el.dataset.t);
  for (const el of document.querySelectorAll("[data-t-label]")) el.setAttribute("aria-label", t(el.dataset.tLabel));
  for (const el of document.querySelectorAll("[data-lang]")) el.setAttribute("aria-pressed", String(el.dataset.lang === lang));
  for (const listener of listeners) listener();
}
setLanguage();
