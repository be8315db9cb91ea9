// The page in Firefox: node check.mjs FIREFOX ADDRESS. Says each thing that was seen; ends with 1 at the first that was not.

import assert from "node:assert/strict";
import puppeteer from "puppeteer-core";

const [, , executablePath, address] = process.argv;
const browser = await puppeteer.launch({ browser: "firefox", executablePath, headless: true, protocol: "webDriverBiDi" });
const page = await browser.newPage();
const faults = [];
page.on("pageerror", (error) => faults.push(String(error)));

const seen = (what) => console.log(`seen: ${what}`);
const text = (selector) => page.waitForSelector(selector).then((node) => node.evaluate(({ textContent }) => textContent));
const until = (condition, ...values) => page.waitForFunction(condition, { timeout: 20_000 }, ...values);
const grey = (value) => until((wanted) => {
  const context = document.querySelector(".viewer .stage canvas")?.getContext("2d");
  return context?.getImageData(2, 2, 1, 1).data[0] === wanted;
}, value);

async function drag(points) {
  const box = await (await page.$(".viewer .stage canvas")).boundingBox();
  const at = ([x, y]) => [box.x + box.width * x, box.y + box.height * y];
  await page.mouse.move(...at(points[0]));
  await page.mouse.down();
  for (const point of points) await page.mouse.move(...at(point), { steps: 4 });
  await page.mouse.up();
}

try {
  await page.setViewport({ width: 1280, height: 1024 });
  await page.goto(address);
  assert.equal(await text(".alert .patient"), "DOE, JANE");
  await until(() => [...document.querySelectorAll(".alert img")].filter(({ naturalWidth }) => naturalWidth === 64).length === 3);
  seen("the alert, with its three pictures");

  await page.click(".alert .viewer .all");
  await grey(73);
  await page.keyboard.press("ArrowUp");
  await grey(86);
  await page.keyboard.press("2");
  await grey(60);
  await until(() => document.querySelector(".stage").getAttribute("aria-valuetext") === "slice 7 of 12");
  seen("slices, scrolled and windowed by key");

  await page.type(".alert [name=who]", "Ann");
  await page.click(".alert [value=acknowledge]");
  await until(() => !document.querySelector(".alert"));
  seen("no alert, once it was acknowledged");

  await page.goto(`${address}exam/1.2.3.4`);
  await page.waitForSelector(".viewer .stage canvas");
  await page.evaluate(() => [...document.querySelectorAll("#findings button")].find(({ textContent }) => textContent.startsWith("Extent")).click());
  const before = Number.parseFloat(await text(".drawing output"));
  await drag([[0.2, 0.2], [0.3, 0.3], [0.2, 0.4]]);
  const drawn = Number.parseFloat(await text(".drawing output"));
  assert.ok(drawn > before, `${drawn} mL drawn, of ${before} mL`);
  await page.click("#findings .store");
  assert.match(await text("#findings .standing"), new RegExp(`changed: ${drawn.toFixed(1)} mL – Ann`));
  seen("an extent, drawn and stored");
  assert.deepEqual(faults, []);
} finally {
  await browser.close();
}
