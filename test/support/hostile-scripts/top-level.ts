/** Files that are refused when they are loaded. `definition` keeps the rest of them sound. */

/** Each by what is said of it. */
export const TOP_LEVEL: Readonly<Record<string, readonly [source: string, says: RegExp]>> = {
  loop: ["(() => { for (;;); })()", /runs for more than a second/],
  microtasks: [
    "(() => { const f = () => Promise.resolve().then(f); f(); return { request() {} }; })()",
    /runs for more than a second|more memory than it may/,
  ],
  bomb: [
    "(() => { const m = new Map(); for (let i = 0; ; i++) m.set(i, { i }); })()",
    /more memory than it may|more than a second/,
  ],
  throw: ["(() => { throw new Error('no'); })()", /throws while it is loaded: Error: no/],
  "throw-null": ["(() => { throw null; })()", /throws while it is loaded: null/],
  "throw-getter": ["(() => { throw { get message() { for (;;); } }; })()", /runs for more than a second/],
  "getter-loop": ["{ get request() { for (;;); } }", /runs for more than a second/],
  "proxy-throws": [
    "new Proxy({}, { ownKeys() { throw { get message() { return 'evil'; }, get stack() { for (;;); } }; } })",
    /runs for more than a second/,
  ],
  "proxy-throws-error": ["new Proxy({}, { ownKeys() { throw new Error('no'); } })", /is loaded: Error: no/],
  never: ["new Promise(() => {})", /needs a request hook or a response hook/],
  nothing: ["undefined", /must export/],
  "json-object": [
    "(() => { Object.prototype.toJSON = () => 'x'; return { request() {} }; })()",
    /cannot be read/,
  ],
  "json-nothing": [
    "(() => { Object.prototype.toJSON = () => undefined; return { request() {} }; })()",
    /cannot be (?:read|installed)/,
  ],
  "json-other": [
    "(() => { Object.prototype.toJSON = () => ({ body: 1, hooks: 2 }); return { request() {} }; })()",
    /cannot be read|Maximum call stack|more than a second/,
  ],
  "schema-large": [
    "({ schema: { type: 'object', description: 'x'.repeat(1e6) }, request() {} })",
    /larger than/,
  ],
  "schema-cyclic": [
    "(() => { const s = { type: 'object' }; s.a = s; return { schema: s, request() {} }; })()",
    /circular/,
  ],
  "body-getter": [
    "({ body: { get max() { throw new Error('no'); } }, request() {} })",
    /is loaded: Error: no/,
  ],
  "import-of-nothing": ["(() => { void Function('return process')(); })()", /process is not defined/],
};
