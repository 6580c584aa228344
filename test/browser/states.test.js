// What a healthy demo does not show: a restore, rejected and lost messages, strange names, a token. The answers are made up.
import { after, before, describe, test } from "node:test";
import { writeFileSync } from "node:fs";
import { Opened, assert, eventually, launch } from "./pages.js";
import { Programs, build, freePort, ready } from "./programs.js";

describe("states", () => {
  const programs = new Programs();
  const token = "the-tests-own-token";
  let browser, url;

  before(async () => {
    await build();
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const file = programs.dir("token");
    writeFileSync(file, `${token}\n`, { mode: 0o600 });
    await ready(url, programs.start("token", ["demo", "--listen", `127.0.0.1:${port}`, "--users", "20", "--rate", "20", "--auth-token-file", file]));
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await programs.close();
  });

  const enter = async (opened) => {
    await opened.page.locator("#login[open]").waitFor();
    await opened.page.locator("#token").fill(token);
    await opened.page.keyboard.press("Enter");
    await opened.state("live");
  };

  test("a token is asked for, and a wrong one refused", async () => {
    const opened = await Opened.open(browser, url);
    await opened.page.locator("#login[open]").waitFor();
    assert.equal(await opened.page.evaluate(() => document.activeElement.id), "token", "one can type at once");
    await opened.accessible("the dialog for the token");
    await opened.screenshot("token");
    for (const wrong of ["wrong", "при чужой раскладке"]) { // the second can't even be sent
      await opened.page.locator("#token").fill(wrong);
      await opened.page.keyboard.press("Enter");
      await eventually("it is refused", async () => assert.equal(await opened.text("#login-error"), "That token is not accepted."));
      await eventually("one can try again", async () => assert.equal(await opened.page.locator("#token").inputValue(), ""));
    }
    await enter(opened);
    await eventually("all is there", async () => assert.equal((await opened.tiles())["users with events"], 20));
    assert.equal(await opened.page.locator("#login[open]").count(), 0);
    assert.ok(!opened.requests.some((request) => request.includes(encodeURIComponent(token))), "a token is never part of an address");
    await opened.clean(/status of 401/);
    await opened.close();
  });

  test("rejected and lost messages are listed with reasons, and nothing in them is markup", async () => {
    const opened = await Opened.open(browser, url);
    await enter(opened);
    const hostile = "<img src=x onerror=window.hostile=1>";
    const answer = (path, change) => opened.page.route(path, async (route) => {
      const response = await route.fetch();
      const body = await response.json();
      change(body);
      await route.fulfill({ response, json: body });
    });
    await answer("**/v1/stats", (body) => {
      Object.assign(body, { messages_rejected: 1234567, lost: 3, rejected: [{ topic: "test", reason: "not_json", count: 1234566 }, { topic: hostile, reason: "too_large", count: 1 }] });
    });
    await answer("**/v1/users?*", (body) => {
      body.users[0] = { ...body.users[0], user_id: hostile, name: hostile, email: null };
    });
    await eventually("the reasons are there", async () => assert.deepEqual(
      await opened.page.locator("#rejected tbody td").allTextContents(), ["test", "not_json", "1,234,566", hostile, "too_large", "1"]));
    assert.equal((await opened.tiles()).lost, 3);
    await opened.page.locator('[data-lang="ru"]').click();
    await eventually("grouped as in Russian", async () => assert.match(await opened.page.locator("#rejected tbody td").nth(2).textContent(), /^1\s234\s566$/));
    await opened.page.locator("#q").fill("а");
    await opened.page.locator("#q").fill("");
    await eventually("a strange user", async () => assert.deepEqual((await opened.users())[0].user_id, hostile));
    assert.equal(await opened.page.evaluate(() => window.hostile), undefined);
    await opened.accessible("with rejected messages");
    await opened.screenshot("rejected", { fullPage: true });
    await opened.clean(/status of 401/);
    await opened.close();
  });

  test("a restore is shown as it goes", async () => {
    const opened = await Opened.open(browser, url);
    await enter(opened);
    const done = { table: "potok-activity-table", partition: 1, offset: 90, end: 90, done: true };
    const detail = [{ stage: "view-activity", ready: false, progress: [{ table: "potok-activity-table", partition: 0, offset: 250, end: 1000, done: false }, done] }];
    await opened.page.route("**/readyz", (route) => route.fulfill({ status: 503, json: { ready: false, detail } }));
    await opened.page.locator("#restore progress").waitFor();
    assert.equal(await opened.page.locator("#restore progress").getAttribute("value"), "250");
    assert.match(await opened.text("#restore-list"), /view-activity.*\s*250 \/ 1,000/);
    assert.equal(await opened.page.locator("#failing").isVisible(), false);
    await opened.state("live");
    await opened.accessible("during a restore");
    await opened.screenshot("restore");
    await opened.page.unroute("**/readyz");
    await opened.page.locator("#restore").waitFor({ state: "hidden" });
    await opened.clean(/status of (401|503)/);
    await opened.close();
  });

  test("a stage that fails is not a restore, and old figures say that they are old", async () => {
    const opened = await Opened.open(browser, url);
    await enter(opened);
    const error = "measure lag: dial tcp 127.0.0.1:9092: <b>connection refused</b>";
    const detail = [{ stage: "view-activity", ready: true }, { stage: "lag", ready: false, failures: 3, error }, { stage: "streams", ready: false }];
    await opened.page.route("**/readyz", (route) => route.fulfill({ status: 503, json: { ready: false, detail } }));
    await opened.state("failing");
    assert.equal(await opened.text("#connection"), "Something is failing");
    assert.equal(await opened.page.locator("#restore").isVisible(), false, "nothing is restored");
    assert.match(await opened.text("#failing-list"), /^lag · failures in a row: 3\s+The program says: /);
    assert.equal(await opened.text("#failing-list samp"), error);
    assert.equal(await opened.page.locator("#failing-list samp").getAttribute("lang"), "en");
    assert.equal(await opened.text("#starting"), "Starting: streams");

    let rejected = 0;
    await opened.page.route("**/v1/stats", async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...await response.json(), messages_rejected: ++rejected } });
    });
    await eventually("the figures move on", async () => assert.ok((await opened.tiles()).rejected > 1));
    assert.equal(await opened.page.locator("#age").isVisible(), false, "they are new");

    await opened.page.unroute("**/v1/stats");
    await opened.page.route("**/v1/stats", (route) => route.fulfill({ status: 503, json: {} }));
    const asked = () => opened.requests.filter((request) => request.endsWith("/v1/throughput")).length, before = asked();
    await opened.page.locator("#age").waitFor();
    assert.match(await opened.text("#age"), /^Figures as of .*\(\d\d seconds ago\)\. There are none newer\.$/);
    assert.equal((await opened.tiles())["messages behind"], 0, "what was known stays on the page");
    assert.ok(asked() > before, "the page goes on asking");
    for (const colorScheme of ["light", "dark"]) {
      await opened.page.emulateMedia({ colorScheme });
      await opened.accessible(`with a stage that fails, ${colorScheme}`);
    }
    await opened.page.locator('[data-lang="ru"]').click();
    assert.equal(await opened.text("#connection"), "Что-то не работает");
    assert.match(await opened.text("#failing-list"), /^lag · сбоев подряд: 3\s+Программа сообщает: /);
    assert.match(await opened.text("#age"), /^Данные на .* назад\)\. Более новых нет\.$/);
    await opened.screenshot("failing");

    await opened.page.unroute("**/v1/stats");
    await opened.page.unroute("**/readyz");
    await opened.state("live");
    for (const id of ["#failing", "#starting", "#age"]) await opened.page.locator(id).waitFor({ state: "hidden" });
    await opened.clean(/status of (401|503)/);
    await opened.close();
  });

  test("the age is the view's: its clock may differ from the browser's", async () => {
    const opened = await Opened.open(browser, url);
    await enter(opened);
    const answer = async (lag) => opened.page.route("**/v1/stats", async (route) => {
      const response = await route.fetch(), now = Date.now() - 86_400_000;
      const headers = { ...response.headers(), date: new Date(now).toUTCString(), "potok-lag-time": new Date(now - lag).toISOString() };
      await route.fulfill({ response, headers });
    });
    await answer(200_000);
    await eventually("it is shown", async () => assert.match(await opened.text("#age"), /\(3 minutes ago\)/));
    await opened.page.unroute("**/v1/stats");
    await answer(1000);
    await opened.page.locator("#age").waitFor({ state: "hidden" });
    await opened.clean(/status of 401/);
    await opened.close();
  });
});
