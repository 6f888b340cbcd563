// The operator's page in a real browser: see tests/page/run. Waits for what the page shows, never for time to pass.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, afterEach, before, test } from "node:test";

import { Gate, Model, service } from "./gate.mjs";

const require = createRequire(process.env.PAGE_MODULES + "/");
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

let browser;
let ending = []; // what ends after a test, the last first
before(async () => {
  // As root, in a container, there is no sandbox to be had.
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
});
after(() => browser?.close());
afterEach(async () => {
  for (const end of ending.reverse()) await end();
  ending = [];
});

async function model() {
  const made = await Model.listen();
  ending.push(() => made.close());
  return made;
}

async function gate(services, options, prepare = () => {}) {
  const made = new Gate(services, options);
  prepare(made);
  ending.push(() => made.stop());
  await made.start();
  await made.ready();
  return made;
}

// A page, and all that went wrong in it: nothing may, not even a refusal by its own policy.
async function open(url, options = {}, wrong = []) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light", ...options });
  ending.push(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  page.on("pageerror", error => wrong.push(String(error)));
  page.on("console", said => { if (/Content Security Policy|Trusted/.test(said.text())) wrong.push(said.text()); });
  page.on("request", asked => { if (!asked.url().startsWith(url) && !asked.url().startsWith("data:")) wrong.push("asked " + asked.url()); });
  await page.goto(url);
  return page;
}

const cell = (page, table, row, column) => page.locator(`#${table} tbody tr`, { hasText: row }).locator("th, td").nth(column);
const shows = (page, selector, text) => page.locator(selector, { hasText: text }).first().waitFor();

// Its rules for WCAG 2.2 A and AA, and its best practices. Evaluated by the debugger, which the page's policy lets be.
async function passesAxe(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document,
    { resultTypes: ["violations"], rules: { "target-size": { enabled: true } } }));
  assert.deepEqual(violations.map(each => `${each.id}: ${each.nodes.map(node => node.html).join(" ")}`), []);
}

test("a healthy one: what it is, what it serves, under load", async () => {
  const wrong = [];
  const running = await gate({ iris: service(await model()) });
  const load = running.load("iris", 4);
  ending.push(load.stop);
  const page = await open(running.url, {}, wrong);
  await shows(page, "#verdict", /^Healthy$/);
  await shows(page, "#replicas td", "ready");
  await shows(page, "#certificates th", "localhost");
  await page.locator("#charts svg path").first().waitFor({ state: "attached" });
  const requests = () => page.evaluate(() => Number(document.querySelector("#services tbody td").textContent));
  await page.waitForFunction(() => Number(document.querySelector("#services tbody td")?.textContent) > 0);
  const about = await page.locator("#about").textContent();
  await page.waitForFunction(before => document.querySelector("#about").textContent !== before, about); // by itself
  assert.ok(await requests() > 0);
  assert.deepEqual(wrong, []);
});

test("a failing replica: which, why, and the last errors", async () => {
  const [good, sick] = [await model(), await model()];
  const running = await gate({ iris: service(good, sick) });
  const page = await open(running.url);
  await shows(page, "#verdict", /^Healthy$/);
  sick.well = false;
  await shows(page, "#findings li", "1 of 2 replicas cannot be used");
  await cell(page, "replicas", sick.url, 2).filter({ hasText: /^unready$/ }).waitFor();
  await cell(page, "replicas", sick.url, 5).filter({ hasText: /probes fail: 503/ }).waitFor();
  good.well = false;
  await shows(page, "#verdict", "Not healthy");
  assert.equal(await running.score("iris"), 503);
  await shows(page, "#errors code", "no_ready_replica");
  good.well = sick.well = true;
  await page.locator("#verdict.good, #verdict.bad").waitFor();
  await page.waitForFunction(() => [...document.querySelectorAll("#replicas tbody tr")].every(row => row.cells[2].textContent === "ready"));
});

test("a certificate that expires", async () => {
  const running = await gate({ iris: service(await model()) }, { days: [-80, 5] });
  const page = await open(running.url);
  await shows(page, "#findings li", "The certificate for localhost expires in");
  await shows(page, "#verdict", "Healthy, with warnings");
  const left = await cell(page, "certificates", "localhost", 1).textContent();
  assert.ok(Number(left) <= 5, left);
});

test("the connection is lost, and comes back with another process", async () => {
  const running = await gate({ iris: service(await model()) });
  const page = await open(running.url);
  await shows(page, "#verdict", /^Healthy$/);
  running.process.kill("SIGTERM");
  await running.ended;
  await shows(page, "#lost", "No connection since");
  await shows(page, "#verdict", "No connection");
  assert.ok(await page.locator("#report").isVisible()); // what was known stays
  await passesAxe(page);
  running.settings.admin.listen = `127.0.0.1:${running.admin}`;
  running.log = "";
  await running.start();
  await running.ready();
  await shows(page, "#verdict", /^Healthy$/);
  assert.equal(await page.locator("#lost").isVisible(), false);
});

test("a token is asked for, and kept out of the page's address and store", async () => {
  const token = "0123456789abcdef0123456789abcdef";
  const running = await gate({ iris: service(await model()) }, { admin: { token_file: "token" } }, made => made.write("token", token + "\n"));
  const page = await open(running.url);
  await page.locator("#token").waitFor();
  await passesAxe(page);
  await page.locator("#token").fill("wrong-wrong-wrong-wrong-wrong-wrong");
  await page.keyboard.press("Enter");
  await shows(page, "#token-wrong", "That is not the token");
  await page.locator("#token").fill(token);
  await page.keyboard.press("Enter");
  await shows(page, "#verdict", /^Healthy$/);
  assert.equal(await page.locator("#ask").isVisible(), false);
  assert.equal(page.url(), running.url);
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length + document.cookie.length), 0);
});

test("axe, light and dark, wide and narrow: nothing to object to, and no sideways scrolling", async () => {
  const [good, sick] = [await model(), await model()];
  const running = await gate({ iris: service(good, sick), sentiment: service(good) }, { days: 20 });
  sick.well = false;
  await running.score("iris");
  for (const colorScheme of ["light", "dark"])
    for (const width of [1280, 360]) {
      const page = await open(running.url, { colorScheme, viewport: { width, height: 800 } });
      await shows(page, "#findings li", "1 of 2 replicas cannot be used");
      await page.locator("#charts svg").first().waitFor({ state: "attached" });
      await passesAxe(page);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth), `${colorScheme}, ${width} px`);
    }
});

test("by keyboard: past the head, to each table that scrolls, to the charts", async () => {
  const running = await gate({ iris: service(await model()) });
  const page = await open(running.url);
  await page.locator("#charts summary").waitFor();
  const reached = new Set();
  for (let n = 0; n < 15; ++n) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => { const at = document.activeElement; return at.firstElementChild?.id || at.tagName + at.className; }));
  }
  for (const each of ["Askip", "services", "SUMMARY", "replicas", "certificates", "reloads", "errors"]) assert.ok(reached.has(each), each);
});

test("the picture in the README", async () => {
  const [good, sick] = [await model(), await model()];
  good.delay = () => 20 + Math.random() * 60;
  const running = await gate({ iris: service(good, await model()), sentiment: service(good, sick) }, { days: 60 });
  const loads = [running.load("iris", 6), running.load("sentiment", 10)];
  ending.push(() => Promise.all(loads.map(each => each.stop())));
  const page = await open(running.url, { viewport: { width: 1200, height: 1100 }, deviceScaleFactor: 1 });
  await page.waitForFunction(() => document.querySelectorAll("#services tbody tr").length >= 2);
  sick.well = false;
  await shows(page, "#findings li", "1 of 2 replicas cannot be used");
  // Some samples more, so that there is something to see in the charts.
  await page.waitForFunction(() => (document.querySelector("#charts svg path")?.getAttribute("d").match(/L/g) ?? []).length >= 8, null, { timeout: 90000 });
  await page.screenshot({ path: process.env.PAGE_PICTURE });
});
