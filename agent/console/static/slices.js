// The slices of one result: fetched around where one looks, held as they came, inflated a little ahead.
// What is held is bounded, and let go with release().

const HELD = 400; // slices to either side that are held as they came; some 0.2 MB each
const DECODED = 24; // slices held as HU; 0.5 MB each at 512 × 512
const AHEAD = 6; // slices inflated before they are looked at
const FETCHES = 4; // a browser makes six requests to a host at a time, and the events take one
const DECODES = 3;
const AGAIN_AFTER_MS = 1000;

export class Slices {
  #path; #n; #outlined; #ready; #failed;
  #at = 0;
  #ahead = 1;
  /** @type {Map<number, [Blob, Blob | null]>} */
  #blobs = new Map(); // k → HU and outline, as they came
  /** @type {Map<number, [Int16Array, ImageBitmap | null]>} */
  #decoded = new Map(); // the least recently used first
  /** @type {Set<number>} */
  #fetching = new Set();
  /** @type {Set<number>} */
  #decoding = new Set();
  #stop = new AbortController();
  #pause = 0;

  /**
   * `ready()` is called when another slice can be drawn, `failed(status)` when one was not fetched.
   * @param {string} path
   * @param {{ n: number, outlined: number[] }} stack
   * @param {() => void} ready
   * @param {(status: number) => void} failed
   */
  constructor(path, stack, ready, failed) {
    this.#path = path;
    this.#n = stack.n;
    this.#outlined = new Set(stack.outlined);
    this.#ready = ready;
    this.#failed = failed;
  }

  get held() { return { blobs: this.#blobs.size, decoded: this.#decoded.size }; }

  /** @param {number} k */
  moveTo(k) {
    if (k !== this.#at) this.#ahead = Math.sign(k - this.#at);
    this.#at = k;
    for (const held of this.#blobs.keys()) if (this.#away(held) > HELD) this.#blobs.delete(held);
    this.#work();
  }

  /**
   * What is nearest to where one looks and can be drawn: k, HU and outline.
   * @returns {[number, Int16Array, ImageBitmap | null] | null}
   */
  nearest() {
    const k = this.#nearestOf(this.#decoded.keys());
    const found = k === null ? undefined : this.#decoded.get(k);
    if (k === null || !found) return null;
    this.#decoded.delete(k);
    this.#decoded.set(k, found);
    return [k, ...found];
  }

  release() {
    this.#stop.abort();
    clearTimeout(this.#pause);
    this.#pause = 0;
    this.#blobs.clear();
    this.#fetching.clear();
    this.#decoding.clear();
    for (const k of [...this.#decoded.keys()]) this.#close(k);
  }

  #work() {
    if (this.#pause) return;
    const { signal } = this.#stop;
    for (let k = this.#toFetch(); this.#fetching.size < FETCHES && k !== null; k = this.#toFetch()) this.#fetch(k, signal);
    for (let k = this.#toDecode(); this.#decoding.size < DECODES && k !== null; k = this.#toDecode()) this.#decode(k, signal);
  }

  #toFetch() { // the nearest one first, and twice as far ahead as behind
    for (let step = 0; step <= HELD; step += 1) {
      for (const k of [this.#at + step * this.#ahead, this.#at - Math.ceil(step / 2) * this.#ahead]) {
        if (k >= 0 && k < this.#n && !this.#blobs.has(k) && !this.#fetching.has(k)) return k;
      }
    }
    return null;
  }

  #toDecode() { // what is looked at, and after it; else what is nearer than all that can be drawn
    /** @param {number} k */
    const needed = (k) => this.#blobs.has(k) && !this.#decoded.has(k) && !this.#decoding.has(k);
    for (let step = 0; step <= AHEAD; step += 1) {
      const k = this.#at + step * this.#ahead;
      if (needed(k)) return k;
    }
    const drawn = this.#nearestOf([...this.#decoded.keys(), ...this.#decoding]);
    const near = this.#nearestOf(this.#blobs.keys());
    return near !== null && needed(near) && (drawn === null || this.#away(near) < this.#away(drawn)) ? near : null;
  }

  /** @param {number} k @param {AbortSignal} signal */
  #fetch(k, signal) {
    return this.#doing(this.#fetching, k, signal, async () => {
      const [hu, outline] = await Promise.all([
        blob(`${this.#path}/slices/${k}.hu`, signal),
        this.#outlined.has(k) ? blob(`${this.#path}/slices/${k}/outline.png`, signal) : null,
      ]);
      if (!signal.aborted) this.#blobs.set(k, [hu, outline]);
    });
  }

  /** @param {number} k @param {AbortSignal} signal */
  #decode(k, signal) {
    return this.#doing(this.#decoding, k, signal, async () => {
      const held = this.#blobs.get(k);
      if (!held) return;
      const [hu, outline] = await Promise.all([unpacked(held[0]), held[1] && createImageBitmap(held[1])]);
      if (signal.aborted) {
        outline?.close();
        return;
      }
      this.#decoded.set(k, [hu, outline]);
      if (this.#decoded.size > DECODED) this.#close([...this.#decoded.keys()][0]);
      this.#ready();
    });
  }

  /** @param {Set<number>} now @param {number} k @param {AbortSignal} signal @param {() => Promise<void>} work */
  async #doing(now, k, signal, work) {
    now.add(k);
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) this.#tryAgain(k, error instanceof NotFetched ? error.status : 0);
    }
    if (signal.aborted) return;
    now.delete(k);
    this.#work();
  }

  /** @param {number} k @param {number} status */
  #tryAgain(k, status) {
    this.#blobs.delete(k);
    if (this.#pause) return;
    this.#pause = setTimeout(() => { this.#pause = 0; this.#work(); }, AGAIN_AFTER_MS);
    this.#failed(status);
  }

  /** @param {Iterable<number>} slices */
  #nearestOf(slices) {
    /** @type {number | null} */
    let nearest = null;
    for (const k of slices) if (nearest === null || this.#away(k) < this.#away(nearest)) nearest = k;
    return nearest;
  }

  /** @param {number} k */
  #away(k) { return Math.abs(k - this.#at); }

  /** @param {number} k */
  #close(k) {
    this.#decoded.get(k)?.[1]?.close();
    this.#decoded.delete(k);
  }
}

class NotFetched extends Error {
  /** @param {string} url @param {number} status */
  constructor(url, status) {
    super(`${status} for ${url}`);
    this.status = status;
  }
}

/** @param {string} url @param {AbortSignal} signal */
async function blob(url, signal) {
  const answer = await fetch(url, { signal });
  if (!answer.ok) throw new NotFetched(url, answer.status);
  return answer.blob();
}

/** The HU of a slice as agent/packing.py packs it. @param {Blob} packed */
async function unpacked(packed) {
  const stream = packed.stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const n = bytes.length / 2;
  const hu = new Int16Array(n);
  let before = 0;
  for (let at = 0; at < n; at += 1) {
    const folded = bytes[at] | (bytes[n + at] << 8);
    hu[at] = before + ((folded >> 1) ^ -(folded & 1));
    before = hu[at];
  }
  return hu;
}
