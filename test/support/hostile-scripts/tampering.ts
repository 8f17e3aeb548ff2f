/** Changed prototypes, and what can be forged with them: the host checks again what the guest runtime has let through. */
import { type Attack, type Attacks, failing, looking, seeing } from "./attack.ts";

/** Makes the runtime's checks say yes, and has it write a line of its own making. */
const forging = (line: string): string => `{ request(req, ctx) {
  const { trim, slice } = String.prototype;
  RegExp.prototype.test = function () { return !this.source.startsWith("^(?:host"); };
  String.prototype.trim = () => "";
  String.prototype.slice = () => ${JSON.stringify(line)};
  try { req.headers.append("x-forged", "y"); } finally { Object.assign(String.prototype, { trim, slice }); }
} }`;

const forged = (line: string, ...codes: string[]): Attack =>
  failing(forging(line), ...(codes.length === 0 ? ["SCRIPT_OUTPUT"] : codes));

/** @param change made when the file is loaded, before a hook that throws */
const thrownAfter = (change: string): Attack =>
  failing(
    `(() => { ${change}; return { request() { throw new Error("x"); } }; })()`,
    "SCRIPT_OUTPUT",
    "SCRIPT_THREW",
  );

/** Any end will do, if it is one: what matters is that others see nothing of it. */
const anyhow = (change: string): Attack => ({
  source: `{ request(req, ctx) { ${change}; req.headers.set("x-a", "b"); return ctx.reply({ body: "done" }); } }`,
  codes: ["SCRIPT_THREW", "SCRIPT_OUTPUT", "SCRIPT_TIMEOUT"],
  body: "done",
  isCut: false,
});

export const TAMPERING: Attacks = {
  "forged-crlf": forged("y\r\nx-evil: 1"),
  "forged-nul": forged("y\0"),
  "forged-wide": forged("y\u2028\u4e2d"),
  "forged-host": forged("y\nshost:evil"),
  "forged-host-case": forged("y\nsHost:evil"),
  "forged-framing": forged("y\nstransfer-encoding:chunked"),
  "forged-length": forged("y\nacontent-length:5"),
  "forged-upgrade": forged("y\nsupgrade:websocket"),
  "forged-delete-host": forged("y\ndhost"),
  "forged-name": forged("y\nsbad name:1"),
  "forged-no-name": forged("y\ns:1"),
  "forged-no-colon": forged("y\nsname"),
  "forged-url-absolute": forged("y\nuhttp://evil/"),
  "forged-url-space": forged("y\nu/a b"),
  "forged-url-hash": forged("y\nu/a#b"),
  "forged-url-dots": forged("y\nu/a/../../admin"),
  "forged-url-encoded-dots": forged("y\nu/a/%2e%2e%2fadmin"),
  "forged-url-backslash-dots": forged("y\nu/a\\..\\admin"),
  "forged-url-nul": forged("y\nu/a%00"),
  "forged-status-of-request": forged("y\nc204"),
  "forged-status-100": forged("y\nR100"),
  "forged-status-600": forged("y\nR600"),
  "forged-status-text": forged("y\nRNaN"),
  "forged-reply-framing": forged("y\nR200\nstransfer-encoding:chunked"),
  "forged-reply-url": forged("y\nR200\nu/"),
  "forged-body": forged("y\nbt1"),
  "forged-body-kind": forged("y\nbz1:x"),
  "forged-body-kind-inherited": forged("y\nb__proto__1:x"),
  "forged-two-bodies": forged("y\nbt1:x\nbt1:y"),
  "forged-state": forged("y\nS[[["),
  "forged-state-null": forged("y\nSnull"),
  "forged-letter": forged("y\nq"),
  "forged-cut-off": forged("y\nbt999999:x"),
  "forged-body-length": forged("y\nbt-1:x"),
  "forged-many-lines": forged(`y\n${"sx-a:1\n".repeat(2000)}sx-b:1`),
  "forged-long-lines": forged(`y\n${`ax-a:${"z".repeat(30_000)}\n`.repeat(10)}sx-b:1`),
  "forged-promise": {
    // It can reach what ends its own call, and nothing more.
    source: `{ request(req, ctx) {
      const then = Promise.prototype.then;
      Promise.prototype.then = function (done, fail) {
        return then.call(this, () => done('R200\\naset-cookie:evil=1\\nbt6:forged\\n'), fail);
      };
      return (async () => {})();
    } }`,
    codes: ["SCRIPT_THREW", "SCRIPT_OUTPUT", "SCRIPT_TIMEOUT"],
    body: /forged|^\[/,
    isCut: false,
  },
  "forged-object": {
    // What the host would take for a text, copied to it.
    source: `{ request(req, ctx) {
      const then = Promise.prototype.then;
      Promise.prototype.then = function (done, fail) {
        const settles = String(done).includes('"settle"');
        return then.call(this, settles ? () => done({ length: 1e8 }) : done, fail);
      };
      return (async () => {})();
    } }`,
    codes: ["SCRIPT_THREW"],
    body: undefined,
    isCut: false,
  },
  "forged-number-of-call": looking(
    '(() => { try { return new ctx.constructor({ big: 1 }, { script: "x", secrets: [] }).now(); } catch (e) { return e; } })()',
    "TypeError: This is no text",
  ),
  "json-array": thrownAfter("Array.prototype.toJSON = () => 1"),
  "json-array-null": thrownAfter("Array.prototype.toJSON = () => null"),
  "json-array-undefined": thrownAfter("Array.prototype.toJSON = () => undefined"),
  "json-array-like": thrownAfter("Array.prototype.toJSON = () => ({ length: 3, map: 1 })"),
  "json-array-nested": thrownAfter("Array.prototype.toJSON = () => [[[[]]]]"),
  "json-text": thrownAfter('String.prototype.toJSON = () => "evil"'),
  "tamper-object": anyhow(
    "for (const k of ['toString', 'valueOf', 'hasOwnProperty']) Object.prototype[k] = () => { throw 1; }",
  ),
  "tamper-object-then": anyhow("Object.prototype.then = (done) => done('evil')"),
  "tamper-object-getters": anyhow(
    "for (const k of ['status', 'headers', 'body', 'value', 'get', 'set']) Object.defineProperty(Object.prototype, k, { get() { return 'evil'; }, set() {}, configurable: true })",
  ),
  "tamper-array": anyhow(
    "for (const k of Object.getOwnPropertyNames(Array.prototype)) { try { Array.prototype[k] = () => { throw 1; }; } catch {} }",
  ),
  "tamper-array-iterator": anyhow("Array.prototype[Symbol.iterator] = function* () { yield 'evil'; }"),
  "tamper-array-index": anyhow(
    "Object.defineProperty(Array.prototype, 0, { set() {}, get() { return 'evil'; }, configurable: true })",
  ),
  "tamper-string": anyhow(
    "for (const k of Object.getOwnPropertyNames(String.prototype)) { try { String.prototype[k] = () => 'evil'; } catch {} }",
  ),
  "tamper-function": anyhow(
    "for (const k of ['call', 'apply', 'bind']) Function.prototype[k] = () => 'evil'",
  ),
  "tamper-promise": anyhow(
    "Promise.resolve = () => ({ then: () => ({ then() {} }) }); Promise.prototype.then = () => {}",
  ),
  "tamper-regexp": anyhow("RegExp.prototype.exec = () => null; RegExp.prototype.test = () => true"),
  "tamper-map": anyhow("Map.prototype.get = Map.prototype.set = Set.prototype.add = () => { throw 1; }"),
  "tamper-json": anyhow("JSON.parse = JSON.stringify = () => 'evil'"),
  "tamper-error": anyhow(
    "try { Error.prototype.name = 'evil'; } catch {} globalThis.Error = globalThis.TypeError = function () { throw 1; }",
  ),
  "tamper-globals": anyhow(
    "for (const k of ['Object', 'String', 'Number', 'Promise', 'Proxy', 'Reflect', 'Uint8Array', 'URL', 'Symbol']) globalThis[k] = () => 'evil'",
  ),
  "tamper-classes": anyhow(
    "for (const o of [req, ctx, req.headers, req.query]) for (const k of Object.getOwnPropertyNames(Object.getPrototypeOf(o))) Object.defineProperty(Object.getPrototypeOf(o), k, { value: () => 'evil', configurable: true })",
  ),
  "tamper-prototypes-of-messages": anyhow(
    "Object.setPrototypeOf(req, null); Object.setPrototypeOf(ctx.log, null)",
  ),
  "tamper-freeze": anyhow(
    "Object.freeze(Object.prototype); Object.freeze(req.constructor.prototype); Object.freeze(globalThis)",
  ),
  "tamper-hook-later": seeing(
    "(() => { const plugin = { request(req, ctx) { plugin.request = () => { throw 1; }; return ctx.reply({ body: 'fine' }); } }; return plugin; })()",
    "fine",
  ),
};
