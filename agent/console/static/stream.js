// What the server says as it changes. Each message holds everything, so that after a break nothing is missing.

const LOST_AFTER_MS = 2700; // the server says something at least once a second; that it is lost is told within three
const AGAIN_AFTER_MS = 1000;

/** @template T */
export class Stream {
  #url; #said; #refused;
  #heardMs = performance.now();
  #again = 0;
  /** @type {EventSource | null} */ #source = null;

  /**
   * `said(message)` is called for each; `refused()` where the server answers with something else, and it is tried again.
   * @param {() => string} url
   * @param {(message: T) => void} said
   * @param {() => void} refused
   */
  constructor(url, said, refused) {
    this.#url = url;
    this.#said = said;
    this.#refused = refused;
  }

  get isOpen() { return this.#source !== null; }

  /** Whether it was silent for longer than the server ever is. */
  get isLost() { return this.isOpen && performance.now() - this.#heardMs > LOST_AFTER_MS; }

  open() {
    this.close();
    this.#heardMs = performance.now();
    this.#connect();
  }

  close() {
    clearTimeout(this.#again);
    this.#source?.close();
    this.#source = null;
  }

  #connect() {
    const source = new EventSource(this.#url());
    this.#source = source;
    source.onmessage = (event) => {
      this.#heardMs = performance.now();
      this.#said(JSON.parse(event.data));
    };
    source.onerror = () => { // the browser tries again by itself, but not after an answer like 500
      if (source.readyState !== EventSource.CLOSED || source !== this.#source) return;
      this.#refused();
      this.#again = setTimeout(() => this.#connect(), AGAIN_AFTER_MS);
    };
  }
}
