// A page for the console's modules: index.html in jsdom, and a server whose answers the test gives.

import { readFile } from "node:fs/promises";
import { JSDOM } from "jsdom";

export const STATIC = new URL("../../agent/console/static/", import.meta.url);

export const ok = (body) => ({ ok: true, status: 200, json: async () => body });
export const refused = (status) => ({ ok: false, status, json: async () => ({}) });

// `answers` maps a path to what fetch() answers there, or to a function of the request that does; no other path is asked for.
export async function openPage(answers = {}) {
  const html = await readFile(new URL("index.html", STATIC), "utf-8");
  const { window } = new JSDOM(html, { url: "http://localhost:8742/", pretendToBeVisual: true });
  const requests = [];
  const fetch = async (url, options = {}) => {
    requests.push({ url, ...options });
    const answer = answers[url];
    if (answer === undefined) throw new TypeError(`nobody answers ${url}`);
    return typeof answer === "function" ? answer(options) : answer;
  };
  const { HTMLElement, customElements, document, location, sessionStorage } = window;
  const requestAnimationFrame = window.requestAnimationFrame.bind(window);
  const names = { window, HTMLElement, customElements, document, location, sessionStorage, requestAnimationFrame, fetch };
  for (const [name, value] of Object.entries(names)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  return { document, requests };
}

export const load = (module) => import(new URL(module, STATIC));
