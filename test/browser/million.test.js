// A listing of a million users, whose answers are made up: it is taller than an element of a browser can be, and yet the last
// row can be reached, and small steps go row by row everywhere.
import { after, before, describe, test } from "node:test";
import { Opened, assert, eventually, launch } from "./pages.js";
import { Programs, build, freePort, ready } from "./programs.js";

const users = 1_000_000;
const most = 80; // table rows at any time
const longest = 500; // ms that the page may be busy with one thing, which making up answers is, too
const tall = 36, tallest = 16_000_000, unscaled = 1_000_000; // px, as in users.js

describe("a million users", () => {
  const programs = new Programs();
  let browser, url, opened, page;

  before(async () => {
    await build();
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    await ready(url, programs.start("million", ["demo", "--listen", `127.0.0.1:${port}`, "--users", "1"]));
    browser = await launch({ ignoreDefaultArgs: ["--hide-scrollbars"] });
    opened = await Opened.open(browser, url);
    page = opened.page;
    await opened.state("live");
    await page.evaluate((users) => { // the answers are made in the page: ten times as fast as outside
      const real = window.fetch;
      window.fetch = (resource, options) => {
        const asked = new URL(resource, location);
        if (asked.pathname !== "/v1/users") return real(resource, options);
        const from = Number(asked.searchParams.get("cursor") ?? 0), to = Math.min(users, from + Number(asked.searchParams.get("limit")));
        const rows = Array.from({ length: to - from }, (_, i) => ({ user_id: `u${from + i}`, name: `Имя ${from + i}`, email: null, event_count: users - from - i, last_event_at: null }));
        return Promise.resolve(Response.json({ users: rows, ...(to < users ? { next_cursor: String(to) } : {}) }));
      };
    }, users);
    await page.locator('[data-sorts="user_id"] button').click();
    await eventually("the made up answers are shown", async () => assert.equal((await table()).first, 0));
  });

  after(async () => {
    await browser?.close();
    await programs.close();
  });

  // table is what is in sight: which rows of the listing, and how many px down the listing it begins.
  const table = () => page.evaluate((tall) => {
    const scroll = document.getElementById("users-scroll"), table = document.getElementById("users-table");
    const inside = scroll.getBoundingClientRect(), head = table.querySelector("th").getBoundingClientRect();
    const rows = [...table.tBodies[0].rows].map((tr) => ({ tr, box: tr.getBoundingClientRect(), row: Number(tr.cells[0].textContent.slice(1)) }));
    const seen = rows.filter(({ box }) => box.bottom > head.bottom + 3 && box.top < inside.bottom - 3);
    return {
      count: rows.length, wrong: rows.filter(({ tr, row }, i) => Number(tr.getAttribute("aria-rowindex")) !== row + 2 || row !== rows[0].row + i).length,
      first: seen[0]?.row, last: seen.at(-1)?.row, place: seen[0]?.row * tall - (seen[0]?.box.top - head.bottom),
      above: seen[0]?.box.top - head.bottom, below: seen.at(-1)?.box.bottom - inside.bottom,
      rowCount: table.getAttribute("aria-rowcount"), top: scroll.scrollTop, height: scroll.scrollHeight, room: scroll.clientHeight,
      page: document.documentElement.scrollHeight - Math.max(innerHeight, document.body.offsetHeight),
    };
  }, tall);

  // thumb is where scrolling comes to rest when the listing is seen from so many px on.
  const thumb = (place, room) => {
    const length = users * tall, share = (place - unscaled) / (length - room - 2 * unscaled);
    return place - (length - tallest) * Math.min(1, Math.max(0, share));
  };

  // rest waits until scrolling has come to rest where there says that it should, and returns what is in sight. So far down a
  // browser rounds places to whole px, and more than once.
  const rest = (what, there) => eventually(what, async () => {
    const now = await table();
    assert.ok(there(now), JSON.stringify(now));
    assert.ok(Math.abs(now.top - thumb(now.place, now.room)) < 4, `at rest, ${now.top} px is ${thumb(now.place, now.room)}`);
    assert.ok(now.above < 3 && now.below > -3, "all of what is in sight is filled");
    assert.equal(now.wrong, 0, "aria-rowindex");
    assert.ok(now.count <= most, `${now.count} table rows`);
    assert.ok(now.page < 3, `below the page are ${now.page} empty px`);
    return now;
  });

  const atStart = (now) => now.first === 0 && now.top === 0;
  const atEnd = (now) => now.last === users - 1 && Math.abs(now.below) < 3;

  // wheel scrolls by so many rows, in small steps.
  const wheel = async (rows, from) => {
    await page.locator("#users-scroll").hover();
    for (let i = 0; i < Math.abs(rows); i += 3) await page.mouse.wheel(0, Math.sign(rows) * 3 * tall);
    return rest(`${rows} rows from ${from.first}`, (now) => Math.abs(now.place - from.place - rows * tall) < 4);
  };

  const press = async (key, there) => {
    await page.locator("#users-scroll").focus();
    await page.keyboard.press(key);
    return rest(key, there);
  };

  // smooth asserts that the page was never busy for long.
  const smooth = async () => {
    const { rows, frames, tasks } = await page.evaluate(() => window.watched);
    assert.ok(rows <= most, `${rows} table rows`);
    assert.deepEqual(tasks.filter((ms) => ms > longest), [], "long tasks");
    return `at most ${rows} in the table, ${frames} frames, longest task ${Math.max(0, ...tasks)} ms`;
  };

  test("one can scroll to the last row, and the table stays small and smooth", async (t) => {
    await page.evaluate(() => {
      window.watched = { tasks: [], rows: 0, frames: 0 };
      new PerformanceObserver((list) => window.watched.tasks.push(...list.getEntries().map((e) => e.duration))).observe({ type: "longtask" });
      const scroll = document.getElementById("users-scroll"), table = document.getElementById("users-table");
      const down = () => {
        window.watched.rows = Math.max(window.watched.rows, table.tBodies[0].rows.length);
        window.watched.frames++;
        if (table.getAttribute("aria-rowcount") === "-1") { scroll.scrollTop = scroll.scrollHeight; requestAnimationFrame(down); }
      };
      down();
    });
    const began = Date.now();
    await eventually("the end is reached", async () => assert.equal((await table()).rowCount, String(users + 1)), 240_000);
    const now = await press("End", atEnd);
    assert.ok(now.height < tallest + 1000, "no taller than browsers can");
    assert.match(await opened.text("#shown"), /–1,000,000$/);
    t.diagnostic(`in ${((Date.now() - began) / 1000).toFixed(1)} s, ${await smooth()}`);
  });

  test("small steps go row by row, at the ends and between", async (t) => {
    await wheel(-30, await rest("the end", atEnd));
    for (const share of [0.5, 0.07, 0.93, 0.0001]) {
      const top = await page.evaluate((share) => { const scroll = document.getElementById("users-scroll"); return scroll.scrollTop = Math.round(share * scroll.scrollHeight); }, share);
      const there = await rest(`${share} of the way`, (now) => Math.abs(now.top - top) < 3);
      if (share === 0.5) assert.ok(Math.abs(there.first - users / 2) < users / 100, `half-way is row ${there.first}`);
      const back = await wheel(-33, await wheel(30, there));
      const down = await press("ArrowDown", (now) => now.place - back.place > tall - 4);
      assert.ok(down.place - back.place < 2 * tall, "an arrow key is a small step");
      const on = await press("PageDown", (now) => now.place - down.place > now.room / 2);
      assert.ok(on.first <= down.last, "PageDown skips nothing");
    }
    await press("Home", atStart);
    await press("End", atEnd);
    await press("ArrowUp", (now) => now.below > tall / 2);
    await press("End", atEnd);
    t.diagnostic(await smooth());
  });

  test("the scroll bar reaches both ends, and the middle", async (t) => {
    await press("Home", atStart);
    await page.locator("#users-scroll").scrollIntoViewIfNeeded();
    const { x, y, height } = await page.evaluate(() => {
      const scroll = document.getElementById("users-scroll"), box = scroll.getBoundingClientRect();
      return { x: box.right - (box.width - scroll.clientWidth) / 2, y: box.top, height: box.height };
    });
    const drag = async (what, to, there) => {
      await page.mouse.move(x, to, { steps: 20 });
      let nudge = 0; // a browser may leave out moves that come faster than its frames, the last one, too
      await eventually(what, async () => {
        await page.mouse.move(x, to + (nudge ^= 1));
        assert.ok(there(await table()));
      });
      await rest(what, there);
    };
    await page.mouse.move(x, y + 20); // below the bar's arrow
    await page.mouse.down();
    await drag("the bar half-way", y + height / 2, (now) => Math.abs(now.first - users / 2) < users / 10);
    await drag("the bar at the end", y + height, atEnd);
    await drag("the bar at the start", y, atStart);
    await page.mouse.up();
    t.diagnostic(await smooth());
  });

  test("accessible, at the end of a million", async () => {
    await press("End", atEnd);
    await opened.accessible("at the end of a million");
    await opened.clean();
  });
});
