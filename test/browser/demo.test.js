// The page of `potok demo`: it moves by itself, says what the API says, and everyone can use it.
import { after, before, describe, test } from "node:test";
import { Opened, assert, eventually, launch } from "./pages.js";
import { Programs, ask, build, freePort, ready } from "./programs.js";

const users = 500;

describe("demo", () => {
  const programs = new Programs();
  let browser, url, opened, page;

  before(async () => {
    await build();
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    // The numbers are still growing when the page is open, and come to their end while the later tests run.
    await ready(url, programs.start("demo", ["demo", "--listen", `127.0.0.1:${port}`, "--users", String(users), "--rate", "10"]));
    browser = await launch();
    opened = await Opened.open(browser, url);
    page = opened.page;
  });

  after(async () => {
    await browser?.close();
    await programs.close();
  });

  // settled waits until the demo's data are all there and counted, and returns what the API says.
  let settled = async () => {
    const stats = await eventually("all is counted", async () => {
      const before = await ask(url, "/v1/stats", { current: true });
      assert.equal(before.users_with_events, users);
      return before;
    }, 240_000);
    const { event_types, total } = await ask(url, "/v1/event-types");
    assert.equal(total, stats.events_counted, "nothing more is published");
    settled = async () => ({ stats, event_types, total });
    return settled();
  };

  // list waits until the table shows what the API answers to the same question.
  const list = (query) => eventually(`the table shows ${query}`, async () => {
    const want = (await ask(url, `/v1/users?limit=100&${query}`)).users;
    await opened.showsFirst(want);
    return want;
  });

  test("numbers grow without a reload", async () => {
    await opened.state("live");
    const events = await eventually("there are events", async () => { const { total } = await opened.types(); assert.ok(total > 0); return total; });
    const known = await eventually("there are users", async () => { const n = (await opened.tiles())["users known"]; assert.ok(n > 0); return n; });
    await eventually("the types grow", async () => assert.ok((await opened.types()).total > events));
    await eventually("the totals grow", async () => assert.ok((await opened.tiles())["users known"] > known));
    await eventually("the users grow", async () => assert.ok((await opened.users()).length > 0));
    await page.locator("#graphs figure").nth(1).waitFor();
    // What the page shows was true before what the API says now.
    const before = (await opened.types()).total;
    assert.ok(before <= (await ask(url, "/v1/event-types")).total);
  });

  test("the content security policy is strict", async () => {
    const policy = opened.response.headers()["content-security-policy"];
    const directives = Object.fromEntries(policy.split(";").map((d) => { const [name, ...values] = d.trim().split(" "); return [name, values.join(" ")]; }));
    assert.equal(directives["default-src"], "'none'");
    for (const name of ["base-uri", "form-action", "frame-ancestors"]) assert.equal(directives[name], "'none'", name);
    for (const name of ["script-src", "style-src", "connect-src"]) assert.equal(directives[name], "'self'", name);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    // It is not only said: what it forbids does not happen.
    const other = await Opened.open(browser, url);
    await other.page.evaluate(() => { const s = document.createElement("script"); s.textContent = "window.injected = true"; document.head.append(s); });
    assert.equal(await other.page.evaluate(() => window.injected), undefined);
    assert.equal((await other.page.evaluate(() => window.violations)).length, 1);
    await other.close();
  });

  test("English and Russian", async () => {
    assert.equal(await page.locator("html").getAttribute("lang"), "en");
    assert.equal(await opened.text("#users-h"), "Events by user:");
    await page.locator('[data-lang="ru"]').click();
    assert.equal(await page.locator("html").getAttribute("lang"), "ru");
    assert.equal(await opened.text("#users-h"), "События по пользователям:");
    assert.equal(await opened.text("#types-h"), "Количество видов событий:");
    assert.equal(await opened.text("#connection"), "В реальном времени");
    assert.ok((await opened.tiles())["известных пользователей"] > 0);
    for (const el of await page.locator("[data-t]").all()) assert.notEqual((await el.textContent()).trim(), "", "a text without a translation");
    const russian = await Opened.open(browser, url, { locale: "ru-RU" });
    assert.equal(await russian.text("#users-h"), "События по пользователям:", "a browser that prefers Russian gets it");
    await russian.page.locator('[data-lang="en"]').click();
    await russian.page.reload();
    assert.equal(await russian.text("#users-h"), "Events by user:", "the choice is remembered");
    await russian.close();
    await page.locator('[data-lang="en"]').click();
    assert.equal(await opened.text("#types-h"), "Event types:");
  });

  test("without JavaScript it says so, in both languages", async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(url);
    assert.match(await page.locator('noscript [lang="en"]').innerText(), /needs JavaScript.*\/v1\/users/);
    assert.match(await page.locator('noscript [lang="ru"]').innerText(), /нужен JavaScript.*\/v1\/users/);
    await context.close();
  });

  test("light and dark", async () => {
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.emulateMedia({ colorScheme: "light" });
    const light = await background();
    await page.emulateMedia({ colorScheme: "dark" });
    await page.locator('html[data-theme="dark"]').waitFor();
    assert.notEqual(await background(), light);
    await page.emulateMedia({ colorScheme: "light" });
    await page.locator('html[data-theme="light"]').waitFor();
    assert.equal(await background(), light);
    const chosen = await Opened.open(browser, url, { colorScheme: "light" });
    await chosen.page.locator("#theme").click();
    await chosen.page.locator('html[data-theme="dark"]').waitFor();
    await chosen.page.reload();
    await chosen.page.locator('html[data-theme="dark"]').waitFor();
    await chosen.close();
  });

  test("the keyboard is enough", async () => {
    const keys = await Opened.open(browser, url);
    await keys.state("live");
    await keys.tabTo(".skip");
    assert.equal(await keys.text(".skip"), "Skip to the users");
    await keys.page.keyboard.press("Enter");
    assert.equal(await keys.page.evaluate(() => document.activeElement.id), "users");
    await keys.tabTo("#q");
    await keys.tabTo('[data-sorts="name"] button');
    const outline = await keys.page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none", "one sees where the focus is");
    await keys.page.keyboard.press("Enter");
    await keys.page.locator('[data-sorts="name"][aria-sort="ascending"]').waitFor();
    await keys.tabTo('[data-sorts="-event_count event_count"] button');
    await keys.page.keyboard.press("Space");
    await keys.page.locator('[data-sorts="-event_count event_count"][aria-sort="descending"]').waitFor();
    await keys.page.keyboard.press("Enter");
    await keys.page.locator('[data-sorts="-event_count event_count"][aria-sort="ascending"]').waitFor();
    await keys.tabTo("#users-scroll");
    await keys.page.keyboard.press("ArrowDown");
    await eventually("the table scrolls", async () => assert.ok(await keys.page.evaluate(() => document.getElementById("users-scroll").scrollTop > 0)));
    await keys.page.evaluate(() => document.activeElement.blur());
    await keys.tabTo('[data-lang="ru"]');
    await keys.page.keyboard.press("Enter");
    await keys.page.locator('html[lang="ru"]').waitFor();
    await keys.tabTo("#theme");
    await keys.clean();
    await keys.close();
  });

  test("the page says what the API says", async () => {
    const { stats, event_types, total } = await settled();
    assert.ok(event_types.length >= 5);
    await eventually("the types are the API's", async () => assert.deepEqual(await opened.types(), { rows: event_types, total }));
    await eventually("the totals are the API's", async () => assert.deepEqual(await opened.tiles(), {
      "users with events": stats.users_with_events, "users known": stats.users_known, "events counted": stats.events_counted,
      "of unknown users": 0, "messages behind": 0, rejected: 0,
    }));
    await list("sort=-event_count");
    assert.equal(await page.locator("#rejected-none").isVisible(), true);
    const throughput = await ask(url, "/v1/throughput");
    assert.deepEqual(await page.locator("#graphs figcaption b").allTextContents(), throughput.topics.map(({ topic }) => topic));
  });

  test("sort", async () => {
    await settled();
    for (const [head, sorts] of Object.entries({
      user_id: ["user_id"], name: ["name"], "-last_event_at": ["-last_event_at"], "-event_count event_count": ["-event_count", "event_count"],
    })) {
      for (const sort of sorts) {
        await page.locator(`[data-sorts="${head}"] button`).click();
        await list(`sort=${sort}`);
        const direction = sort.startsWith("-") ? "descending" : "ascending";
        assert.equal(await page.locator(`[data-sorts="${head}"]`).getAttribute("aria-sort"), direction);
        assert.equal(await page.locator("[aria-sort]").count(), 1);
      }
    }
  });

  test("search", async () => {
    await settled();
    const [someone] = (await ask(url, "/v1/users?limit=1&sort=name")).users;
    for (const q of [someone.name.toUpperCase(), someone.email, someone.user_id, "ова", "%_ \\ nobody & has = this"]) {
      await page.locator("#q").fill(q);
      const rows = await list(new URLSearchParams({ q, sort: "event_count" }));
      assert.equal(await page.locator("#users-empty").isVisible(), rows.length === 0);
    }
    await page.locator("#q").fill("");
    await list("sort=event_count");
  });

  test("accessible, in both languages and both colours", async (t) => {
    await settled();
    await page.locator('[data-sorts="-event_count event_count"] button').click();
    await page.locator('[data-sorts="-event_count event_count"][aria-sort="descending"]').waitFor();
    await page.evaluate(() => document.activeElement.blur());
    for (const lang of ["en", "ru"]) {
      for (const colorScheme of ["light", "dark"]) {
        await page.locator(`[data-lang="${lang}"]`).click();
        await page.emulateMedia({ colorScheme });
        await page.locator(`html[lang="${lang}"][data-theme="${colorScheme}"]`).waitFor();
        const minor = await opened.accessible(`${lang}, ${colorScheme}`);
        if (minor.length) t.diagnostic(`${lang}, ${colorScheme}: ${JSON.stringify(minor)}`);
        await page.evaluate(() => scrollTo(0, 0));
        await opened.screenshot(`page-${lang}-${colorScheme}`);
      }
    }
    const narrow = await Opened.open(browser, url, { viewport: { width: 375, height: 800 } });
    await narrow.state("live");
    await narrow.page.locator("#users-table tbody tr").first().waitFor();
    await narrow.accessible("on a telephone");
    const wide = await narrow.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `the page is ${wide} px wider than a telephone`);
    const tallest = await narrow.page.locator("#users-table tbody tr").evaluateAll((all) => Math.max(...all.map((tr) => tr.offsetHeight)));
    assert.ok(tallest < 100, `a row is ${tallest} px high: its text is squeezed`);
    await narrow.screenshot("page-telephone");
    await narrow.clean();
    await narrow.close();
  });

  test("no error, no reload, no request to another host", () => opened.clean());
});
