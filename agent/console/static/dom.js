// Elements of the page: found, copied or made. What must be there and is not is a fault of the page, and says which.

/** @param {string} id @returns {HTMLElement} */
export function at(id) { return found(document.getElementById(id), `#${id}`); }

/**
 * The first element below `root` that matches.
 * @template {HTMLElement} [E=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {E}
 */
export function first(root, selector) {
  return found(/** @type {E | null} */ (root.querySelector(selector)), selector);
}

/**
 * A copy of what the template with this id holds.
 * @template {HTMLElement} [E=HTMLElement]
 * @param {string} id
 * @returns {E}
 */
export function copyOf(id) {
  const template = /** @type {HTMLTemplateElement} */ (at(id));
  return first(/** @type {DocumentFragment} */ (template.content.cloneNode(true)), "*");
}

/**
 * @template {keyof HTMLElementTagNameMap} N
 * @param {N} name
 * @param {string} text
 * @param {string} className
 * @returns {HTMLElementTagNameMap[N]}
 */
export function element(name, text, className = "") {
  const node = document.createElement(name);
  node.textContent = text;
  node.className = className;
  return node;
}

/** @param {string} text @param {string} className @param {() => unknown} act */
export function button(text, className, act) {
  const node = element("button", text, className);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
}

/** @param {HTMLFormElement} form @param {string} name */
export function field(form, name) {
  return /** @type {HTMLInputElement} */ (found(/** @type {Element | null} */ (form.elements.namedItem(name)), `field ${name}`));
}

/** @template {Element} E @param {E | null} node @param {string} what @returns {E} */
function found(node, what) {
  if (!node) throw new Error(`${what} is missing on this page`);
  return node;
}
