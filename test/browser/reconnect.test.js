// The page outlives the view: it says so, comes back by itself, and then shows the final numbers. The programs run apart from
// one another, as in production.
import { after, before, describe, test } from "node:test";
import { Opened, assert, eventually, launch } from "./pages.js";
import { Programs, ask, build, freePort, ready } from "./programs.js";

// What the browser itself notes about requests to a view that is away or being restored.
const away = /Failed to load resource: (net::ERR_|the server responded with a status of 503)/;

describe("a view that is killed", () => {
  const programs = new Programs();
  let browser, url, env, broker, view, process, opened;

  const startView = async () => {
    view = programs.start("view", ["view", "--listen", new URL(url).host], env);
    await ready(url, view);
  };

  const emit = async (seed, count) => {
    await programs.run("emit-users", ["emit", "users", "--rate", "1000", "--count", String(count), "--seed", String(seed)], env);
    await programs.run("emit-events", ["emit", "events", "--idle-exit", "3s", "--seed", String(seed)], env);
  };

  // same waits until the page shows the API's numbers, which must be of so many users.
  const same = (users) => eventually(`the page shows ${users} users as the API does`, async () => {
    const stats = await ask(url, "/v1/stats", { current: true });
    assert.equal(stats.users_with_events, users);
    const { event_types, total } = await ask(url, "/v1/event-types");
    assert.equal(total, stats.events_counted);
    assert.deepEqual(await opened.types(), { rows: event_types, total });
    await opened.showsFirst((await ask(url, "/v1/users?limit=100")).users);
    assert.equal((await opened.tiles())["users with events"], users);
    return total;
  });

  before(async () => {
    await build();
    const port = await freePort();
    env = { KAFKA_BOOTSTRAP_SERVERS: `127.0.0.1:${port}`, POTOK_PARTITIONS: "4" };
    broker = programs.start("broker", ["broker", "--listen", `127.0.0.1:${port}`]);
    const own = await freePort();
    process = await eventually("the broker is there", async () => {
      await programs.run("topics", ["topics"], env);
      return programs.start("process", ["process", "--metrics-listen", `127.0.0.1:${own}`], env);
    });
    await ready(`http://127.0.0.1:${own}`, process);
    url = `http://127.0.0.1:${await freePort()}`;
    await startView();
    await emit(1, 40);
    browser = await launch();
    opened = await Opened.open(browser, url);
  });

  after(async () => {
    await browser?.close();
    await programs.close();
  });

  test("the page comes back by itself, with the final numbers", async () => {
    await opened.state("live");
    const total = await same(40);
    view.kill("SIGKILL");
    await view.ended;
    await opened.state("reconnecting");
    assert.match(await opened.text("#connection"), /reconnecting/);
    assert.equal((await opened.types()).total, total, "what was known stays on the page");
    await emit(2, 30); // nobody looks
    await startView();
    await opened.state("live");
    assert.ok(await same(70) > total);
    assert.equal(await opened.page.locator("#restore").isVisible(), false);
    await opened.screenshot("reconnected");
  });

  test("again, and with growth after it", async () => {
    view.kill("SIGKILL");
    await view.ended;
    await opened.state("reconnecting");
    await startView();
    await opened.state("live");
    const total = await same(70);
    await emit(3, 20);
    assert.ok(await same(90) > total);
  });

  test("without brokers it says what fails, and how old its figures are", async () => {
    broker.kill("SIGSTOP");
    try {
      await opened.state("failing");
      await opened.page.locator("#age").waitFor();
      assert.match(await opened.text("#failing-list"), /lag[^]*measure lag/);
      assert.equal(await opened.page.locator("#restore").isVisible(), false);
      assert.equal((await opened.tiles())["users with events"], 90, "what was known stays on the page");
    } finally {
      broker.kill("SIGCONT");
    }
    await opened.state("live");
    await opened.page.locator("#age").waitFor({ state: "hidden" });
    await same(90);
  });

  test("no other error, no reload, no request to another host", () => opened.clean(away));
});
