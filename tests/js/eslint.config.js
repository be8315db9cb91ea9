// The console runs in browsers as it is written: no bundler, no transpiler, so the linter is the only reader before a person.

import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["**/node_modules/"] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2024, sourceType: "module" },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "complexity": ["error", 10],
      "consistent-return": "off", // `return element.focus()` leaves a handler early
      "curly": ["error", "multi-line"],
      "eqeqeq": ["error", "always", { null: "ignore" }],
      "max-lines-per-function": ["error", 60],
      "no-alert": "error",
      "no-console": "error",
      "no-control-regex": "off", // control characters are what words.js takes out
      "no-else-return": "error",
      "no-eval": "error",
      "no-implicit-globals": "error",
      "no-implied-eval": "error",
      "no-restricted-properties": ["error",
        // What a DICOM header says goes into the page as text only.
        { property: "innerHTML", message: "use textContent" },
        { property: "outerHTML", message: "use textContent" },
        { property: "insertAdjacentHTML", message: "use textContent" },
        { object: "document", property: "write", message: "use textContent" },
      ],
      "no-shadow": "error",
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
    },
  },
  { files: ["agent/console/static/**"], languageOptions: { globals: globals.browser } },
  { files: ["tests/js/**"], languageOptions: { globals: { ...globals.node, document: "readonly", window: "readonly" } } },
];
