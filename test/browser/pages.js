// Opens the page in a browser and watches over it.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { artifacts, eventually, limit } from "./programs.js";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// launch starts the machine's own browser; none is downloaded. It has no sandbox because as root it can't have one, and
// because it sees no page but ours.
export async function launch(options = {}) {
  const paths = [process.env.POTOK_CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome", "/usr/bin/chromium-browser"];
  const executablePath = paths.find((path) => path && existsSync(path));
  assert.ok(executablePath, "no Chromium: install it, or name it in POTOK_CHROMIUM");
  return chromium.launch({ executablePath, chromiumSandbox: false, timeout: limit, ...options });
}

// Opened is one page and everything that went wrong on it.
export class Opened {
  errors = [];
  requests = [];

  static async open(browser, url, options = {}) {
    const o = new Opened();
    o.url = url;
    o.context = await browser.newContext({ locale: "en-GB", timezoneId: "UTC", viewport: { width: 1240, height: 900 }, ...options });
    o.context.setDefaultTimeout(limit);
    o.context.on("request", (request) => o.requests.push(request.url()));
    o.page = await o.context.newPage();
    o.page.on("pageerror", (err) => o.errors.push(`page error: ${err.stack ?? err}`));
    o.page.on("crash", () => o.errors.push("the page crashed"));
    o.page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) o.errors.push(`${message.type()}: ${message.text()} (${message.location().url})`);
    });
    await o.page.addInitScript(() => {
      window.violations = [];
      document.addEventListener("securitypolicyviolation", (e) => window.violations.push(`${e.violatedDirective}: ${e.blockedURI}`));
    });
    o.response = await o.page.goto(url);
    // Lost by a reload: what is still there was not reloaded.
    await o.page.evaluate(() => { window.unreloaded = true; });
    return o;
  }

  text(selector) { return this.page.locator(selector).innerText(); }

  // number reads a number as the page shows it: grouped, in either language.
  async number(selector) {
    const text = await this.text(selector);
    assert.match(text, /^[\d\s.,\u00a0\u202f]+$/, `${selector} shows a number`);
    return Number(text.replace(/\D/g, ""));
  }

  async state(want) {
    await this.page.locator(`#connection[data-state="${want}"]`).waitFor();
  }

  // types is the picture of result B: its rows and its total.
  async types() {
    const rows = await this.page.locator("#types tbody tr").evaluateAll((all) => all.map((tr) => [tr.cells[0].textContent, tr.cells[2].textContent]));
    return { rows: rows.map(([event, count]) => ({ event, count: digits(count) })), total: digits(await this.page.locator("#types-total").textContent()) };
  }

  // users is the table of result A as it is shown.
  async users() {
    const rows = await this.page.locator("#users-table tbody tr").evaluateAll((all) => all.map((tr) => [...tr.cells].map((td) => td.textContent)));
    return rows.map(([user_id, name, email, count]) => ({ user_id, name, email, event_count: digits(count) }));
  }

  // showsFirst asserts that the table begins as the API's answer does, and has no more of it than one can see and a little.
  async showsFirst(want) {
    const got = await this.users();
    assert.ok(got.length >= Math.min(want.length, 15) && got.length <= 80, `${got.length} table rows of ${want.length}`);
    assert.deepEqual(got, want.slice(0, got.length).map(shown));
  }

  async tiles() {
    return Object.fromEntries(await this.page.locator("#tiles > div").evaluateAll((all) => all.map((el) => [el.children[0].textContent, Number(el.children[1].textContent.replace(/\D/g, ""))])));
  }

  // tabTo presses Tab until the selector has the focus.
  async tabTo(selector) {
    for (let i = 0; i < 60; i++) {
      await this.page.keyboard.press("Tab");
      if (await this.page.evaluate((s) => document.activeElement?.matches(s), selector)) return;
    }
    assert.fail(`${selector} is not reached by Tab`);
  }

  // accessible asserts that axe finds nothing serious.
  async accessible(where) {
    if (!await this.page.evaluate(() => "axe" in window)) await this.page.evaluate(axe);
    const violations = await this.page.evaluate(async () => (await window.axe.run(document)).violations.map(
      ({ id, impact, help, nodes }) => ({ id, impact, help, nodes: nodes.slice(0, 5).map((n) => `${n.html}: ${n.failureSummary}`) })));
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    assert.deepEqual(serious, [], `accessibility: ${where}`);
    return violations;
  }

  screenshot(name, options = {}) {
    return this.page.screenshot({ path: join(artifacts, `${name}.png`), animations: "disabled", ...options });
  }

  // clean asserts that nothing went wrong, but for what expected matches, and that the page asked nobody else.
  async clean(expected = /^$/) {
    assert.equal(await this.page.evaluate(() => window.unreloaded), true, "the page was reloaded");
    assert.deepEqual(await this.page.evaluate(() => window.violations), [], "violations of the content security policy");
    assert.deepEqual(this.errors.filter((text) => !expected.test(text)), [], "errors and warnings");
    assert.ok(this.requests.length > 5, "requests were recorded");
    const elsewhere = this.requests.filter((url) => new URL(url).origin !== new URL(this.url).origin);
    assert.deepEqual(elsewhere, [], "requests to another host");
  }

  close() { return this.context.close(); }
}

const digits = (text) => Number(text.replace(/\D/g, ""));

// shown is a user of the API as the table shows it.
export const shown = ({ user_id, name, email, event_count }) => ({ user_id, name: name ?? "—", email: email ?? "—", event_count });

export { assert, eventually };
