// The slices of one result in one window: fetched around where one looks, held as compressed blobs,
// decoded a little ahead. What is held is bounded, and let go with release().

const HELD = 400; // slices to either side whose blobs are held; some 0.1 MB each
const DECODED = 24; // slices held as bitmaps; 1 MB each at 512 × 512
const AHEAD = 6; // slices decoded before they are looked at
const FETCHES = 4; // a browser makes six requests to a host at a time, and the events take one
const DECODES = 3;
const AGAIN_AFTER_MS = 1000;

export class Slices {
  #path; #stack; #outlined; #ready; #failed;
  #window = "brain";
  #at = 0;
  #ahead = 1;
  #blobs = new Map(); // k → [picture, outline or null]
  #bitmaps = new Map(); // the same decoded, the least recently used first
  #fetching = new Set();
  #decoding = new Set();
  #stop = new AbortController();
  #pause = 0;

  // `ready()` is called when another slice can be drawn, `failed(status)` when one was not fetched.
  constructor(path, stack, ready, failed) {
    this.#path = path;
    this.#stack = stack;
    this.#outlined = new Set(stack.outlined);
    this.#ready = ready;
    this.#failed = failed;
  }

  get held() { return { blobs: this.#blobs.size, bitmaps: this.#bitmaps.size }; }

  show(window) {
    this.release();
    this.#stop = new AbortController();
    this.#window = window;
    this.moveTo(this.#at);
  }

  moveTo(k) {
    if (k !== this.#at) this.#ahead = Math.sign(k - this.#at);
    this.#at = k;
    for (const held of this.#blobs.keys()) if (this.#away(held) > HELD) this.#blobs.delete(held);
    this.#work();
  }

  // What is nearest to where one looks and can be drawn: [k, picture, outline or null], or null.
  nearest() {
    const k = this.#nearestOf(this.#bitmaps.keys());
    if (k === null) return null;
    const bitmaps = this.#bitmaps.get(k);
    this.#bitmaps.delete(k);
    this.#bitmaps.set(k, bitmaps);
    return [k, ...bitmaps];
  }

  release() {
    this.#stop.abort();
    clearTimeout(this.#pause);
    this.#pause = 0;
    this.#blobs.clear();
    this.#fetching.clear();
    this.#decoding.clear();
    for (const k of [...this.#bitmaps.keys()]) this.#close(k);
  }

  #work() {
    if (this.#pause) return;
    for (let k; this.#fetching.size < FETCHES && (k = this.#toFetch()) !== null;) this.#fetch(k, this.#stop.signal);
    for (let k; this.#decoding.size < DECODES && (k = this.#toDecode()) !== null;) this.#decode(k, this.#stop.signal);
  }

  #toFetch() { // the nearest one first, and twice as far ahead as behind
    for (let step = 0; step <= HELD; step += 1) {
      for (const k of [this.#at + step * this.#ahead, this.#at - Math.ceil(step / 2) * this.#ahead]) {
        if (k >= 0 && k < this.#stack.n && !this.#blobs.has(k) && !this.#fetching.has(k)) return k;
      }
    }
    return null;
  }

  #toDecode() { // what is looked at, and after it; else what is nearer than all that can be drawn
    const needed = (k) => this.#blobs.has(k) && !this.#bitmaps.has(k) && !this.#decoding.has(k);
    for (let step = 0; step <= AHEAD; step += 1) {
      const k = this.#at + step * this.#ahead;
      if (needed(k)) return k;
    }
    const drawn = this.#nearestOf([...this.#bitmaps.keys(), ...this.#decoding]);
    const near = this.#nearestOf(this.#blobs.keys());
    return near !== null && needed(near) && (drawn === null || this.#away(near) < this.#away(drawn)) ? near : null;
  }

  #fetch(k, signal) {
    return this.#doing(this.#fetching, k, signal, async () => {
      const urls = [`${this.#path}/slices/${k}.png?window=${this.#window}`];
      if (this.#outlined.has(k)) urls.push(`${this.#path}/slices/${k}/outline.png`);
      const [picture, outline = null] = await Promise.all(urls.map((url) => blob(url, signal)));
      if (!signal.aborted) this.#blobs.set(k, [picture, outline]);
    });
  }

  #decode(k, signal) {
    return this.#doing(this.#decoding, k, signal, async () => {
      const bitmaps = await Promise.all(this.#blobs.get(k).map((each) => each && createImageBitmap(each)));
      if (signal.aborted) return bitmaps.forEach((each) => each?.close());
      this.#bitmaps.set(k, bitmaps);
      if (this.#bitmaps.size > DECODED) this.#close(this.#bitmaps.keys().next().value);
      this.#ready();
    });
  }

  async #doing(now, k, signal, work) {
    now.add(k);
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) this.#tryAgain(k, error);
    }
    if (signal.aborted) return;
    now.delete(k);
    this.#work();
  }

  #tryAgain(k, error) {
    this.#blobs.delete(k);
    if (this.#pause) return;
    this.#pause = setTimeout(() => { this.#pause = 0; this.#work(); }, AGAIN_AFTER_MS);
    this.#failed(error.status ?? 0);
  }

  #nearestOf(slices) {
    let nearest = null;
    for (const k of slices) if (nearest === null || this.#away(k) < this.#away(nearest)) nearest = k;
    return nearest;
  }

  #away(k) { return Math.abs(k - this.#at); }

  #close(k) {
    this.#bitmaps.get(k).forEach((each) => each?.close());
    this.#bitmaps.delete(k);
  }
}

async function blob(url, signal) {
  const answer = await fetch(url, { signal });
  if (!answer.ok) throw Object.assign(new Error(`${answer.status} for ${url}`), { status: answer.status });
  return answer.blob();
}
