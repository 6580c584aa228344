// The table of users stays smooth however many users there are: it holds what one can see, and loads by cursor what one scrolls to.
import { after, before, describe, test } from "node:test";
import { Opened, assert, eventually, launch, shown } from "./pages.js";
import { Programs, ask, build, freePort, ready } from "./programs.js";

const published = 20_000; // users
const most = 80; // table rows at any time
const longest = 200; // ms that the page may be busy with one thing

describe("many users", () => {
  const programs = new Programs();
  let browser, url, kafka, users, opened, page, tall;

  before(async () => {
    await build();
    const [port, broker] = [await freePort(), await freePort()];
    url = `http://127.0.0.1:${port}`;
    kafka = `127.0.0.1:${broker}`;
    const demo = programs.start("many", ["demo", "--listen", `127.0.0.1:${port}`, "--kafka-port", String(broker), "--users", String(published), "--rate", "4000"]);
    await ready(url, demo);
    users = await counted(published);
    browser = await launch();
    opened = await Opened.open(browser, url);
    page = opened.page;
    await opened.state("live");
  });

  after(async () => {
    await browser?.close();
    await programs.close();
  });

  // counted waits until so many publications of users, and all events of these, are counted. It returns how many users those
  // are: a few are published twice.
  const counted = (published) => eventually(`${published} users are counted`, async () => {
    const stats = await ask(url, "/v1/stats", { current: true });
    assert.equal(stats.partitions.filter(({ topic }) => topic === "CorpAppsTopic").reduce((sum, { end }) => sum + end, 0), published);
    assert.equal(stats.users_with_events, stats.users_known);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal((await ask(url, "/v1/stats", { current: true })).events_counted, stats.events_counted, "nothing more comes");
    return stats.users_known;
  });

  // listing is all of the API's answer, page by page.
  const listing = async (sort) => {
    const all = [];
    for (let cursor = ""; ;) {
      const answer = await ask(url, `/v1/users?limit=1000&sort=${sort}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      all.push(...answer.users);
      if (!(cursor = answer.next_cursor ?? "")) return all;
    }
  };

  // table is what is in the table, with its place.
  const table = () => page.evaluate(() => {
    const scroll = document.getElementById("users-scroll"), rows = [...document.querySelectorAll("#users-table tbody tr")];
    const inside = scroll.getBoundingClientRect(), head = document.querySelector("#users-table th").getBoundingClientRect();
    const seen = rows.filter((tr) => { const r = tr.getBoundingClientRect(); return r.bottom > head.bottom && r.top < inside.bottom; });
    return {
      first: Number(rows[0]?.ariaRowIndex ?? rows[0]?.getAttribute("aria-rowindex")), count: rows.length, seen: seen.length,
      rows: rows.map((tr) => [...tr.cells].map((td) => td.textContent)), indexes: rows.map((tr) => Number(tr.getAttribute("aria-rowindex"))),
      rowCount: document.getElementById("users-table").getAttribute("aria-rowcount"), top: scroll.scrollTop, height: scroll.scrollHeight,
      room: inside.bottom - head.bottom, tall: rows[0]?.offsetHeight, headAt: head.top - inside.top,
      below: rows.at(-1)?.getBoundingClientRect().bottom - inside.bottom, page: document.documentElement.scrollHeight - Math.max(innerHeight, document.body.offsetHeight),
    };
  });

  // same waits until what is in sight is what the API's listing has there.
  const same = (all, where) => eventually(where, async () => {
    const now = await table();
    assert.ok(now.count <= most, `${now.count} table rows`);
    assert.ok(now.seen >= Math.floor(now.room / now.tall), `${now.seen} rows are in sight`);
    assert.deepEqual(now.indexes, now.rows.map((_, i) => now.first + i), "aria-rowindex");
    assert.ok(Math.abs(now.headAt) < 3, "the head stays in sight");
    assert.ok(now.page < 3, `below the page are ${now.page} empty px`);
    const want = all.slice(now.first - 2, now.first - 2 + now.count).map(shown);
    assert.deepEqual(now.rows.map(([user_id, name, email, count]) => ({ user_id, name, email, event_count: Number(count) })), want);
    return now;
  });

  const to = (row) => page.evaluate((top) => { document.getElementById("users-scroll").scrollTop = top; }, row * tall);

  test("one can scroll to the end, and the table stays small", async (t) => {
    await page.locator('[data-sorts="user_id"] button').click();
    const all = await listing("user_id");
    assert.equal(all.length, users);
    ({ tall } = await same(all, "the first rows"));
    await page.evaluate(() => {
      window.watched = { tasks: [], rows: 0, frames: 0 };
      new PerformanceObserver((list) => window.watched.tasks.push(...list.getEntries().map((e) => e.duration))).observe({ type: "longtask" });
    });
    const began = Date.now();
    await page.evaluate(() => {
      const scroll = document.getElementById("users-scroll"), table = document.getElementById("users-table");
      const down = () => {
        window.watched.rows = Math.max(window.watched.rows, table.tBodies[0].rows.length);
        window.watched.frames++;
        if (table.getAttribute("aria-rowcount") === "-1") { scroll.scrollTop = scroll.scrollHeight; requestAnimationFrame(down); }
      };
      down();
    });
    await eventually("the end is reached", async () => assert.equal((await table()).rowCount, String(users + 1)), 240_000);
    await to(users);
    const now = await same(all, "the last rows");
    assert.equal(now.indexes.at(-1), users + 1);
    for (const from of [Math.floor(users / 2), users - 60]) { // by one jump, as the scroll bar does
      await to(from);
      await same(all, `row ${from}`);
      await to(users);
      const now = await same(all, "the last rows again");
      assert.ok(Math.abs(now.below) < 3, `the end is ${now.below} px below`);
    }
    const watched = await page.evaluate(() => window.watched);
    t.diagnostic(`${users} rows in ${((Date.now() - began) / 1000).toFixed(1)} s, at most ${watched.rows} in the table, ${watched.frames} frames, longest task ${Math.max(0, ...watched.tasks)} ms`);
    assert.ok(watched.rows <= most, `${watched.rows} table rows`);
    assert.deepEqual(watched.tasks.filter((ms) => ms > longest), [], "long tasks");
    for (const row of [Math.floor(users / 2), 12_345, 99, 100, 101, 17, users - 150, 0]) {
      await to(row);
      await same(all, `row ${row}`);
    }
    assert.match(await opened.text("#shown"), /^Rows 1–\d+$/);
    const after = await page.evaluate(() => window.watched.tasks);
    assert.deepEqual(after.filter((ms) => ms > longest), [], "long tasks");
  });

  test("the keyboard scrolls it", async () => {
    const all = await listing("user_id");
    await page.locator("#users-scroll").focus();
    await to(0);
    const end = (now) => now.indexes.at(-1) === users + 1 && Math.abs(now.below) < 3; // all of the last row is in sight
    for (const [key, there] of [ // a browser takes its time to get there
      ["PageDown", (now) => now.top > 300], ["ArrowDown", (now) => now.top > 300], ["End", end], ["ArrowUp", (now) => now.below > 30], ["End", end],
      ["Home", (now) => now.top === 0],
    ]) {
      await page.keyboard.press(key);
      await eventually(`${key} scrolls`, async () => assert.ok(there(await table())));
      await same(all, key);
    }
  });

  test("what changes meanwhile is shown, and the place stays", async () => {
    await to(Math.floor(users / 2));
    const before = await same(await listing("user_id"), "half-way");
    const env = { KAFKA_BOOTSTRAP_SERVERS: kafka, POTOK_PARTITIONS: "4" };
    await programs.run("more-users", ["emit", "users", "--rate", "1000", "--count", "300", "--seed", "77"], env);
    await counted(published + 300);
    // Rows came in above, too: the place is the cursor's, so the same rows are in sight.
    const all = await listing("user_id");
    const now = await eventually("the rows in sight are the API's", async () => {
      const now = await table();
      const at = all.findIndex(({ user_id }) => user_id === now.rows[0][0]);
      const want = all.slice(at, at + now.count).map(shown);
      assert.deepEqual(now.rows.map(([user_id, name, email, count]) => ({ user_id, name, email, event_count: Number(count) })), want);
      return now;
    });
    assert.equal(now.top, before.top, "the scroll position");
    const kept = before.rows.filter(([id]) => now.rows.some(([other]) => other === id));
    assert.ok(kept.length > before.count / 2, `${kept.length} of ${before.count} rows are still there`);
    await to(0);
    await eventually("the first rows are the API's", async () => {
      const now = await table();
      assert.deepEqual(now.rows.map(([id]) => id), all.slice(0, now.count).map(({ user_id }) => user_id));
    });
  });

  test("accessible, half-way down", async () => {
    await to(Math.floor(users / 3));
    await eventually("rows are there", async () => assert.ok((await table()).seen > 10));
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await opened.accessible(`half-way down, ${colorScheme}`);
      await page.locator("#users").scrollIntoViewIfNeeded();
      await opened.screenshot(`many-${colorScheme}`);
    }
  });

  test("no error, no reload, no request to another host", () => opened.clean());
});
