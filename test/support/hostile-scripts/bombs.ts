/** Memory bombs: cut by the limit on time or by that on memory, or refused. */
import { asking, type Attacks, endless, failingHook, looking } from "./attack.ts";

const bomb = (body: string) => endless(body, "SCRIPT_MEMORY", "SCRIPT_THREW");

/** These take memory until it is used up. */
export const BOMBS: Attacks = {
  "bomb-arrays": bomb("const a = []; for (;;) a.push(new Array(1e4).fill(0));"),
  "bomb-objects": bomb("const a = []; for (let i = 0; ; i++) a.push({ i });"),
  "bomb-map": bomb("const m = new Map(); for (let i = 0; ; i++) m.set(i, { i });"),
  "bomb-set": bomb('const s = new Set(); for (let i = 0; ; i++) s.add("k" + i);'),
  "bomb-keys": bomb('const o = {}; for (let i = 0; ; i++) o["k" + i] = i;'),
  "bomb-symbols": bomb("const o = {}; for (;;) o[Symbol()] = 1;"),
  "bomb-spread": bomb("let a = [1]; for (;;) a = [...a, ...a];"),
  "bomb-concat": bomb("let a = [1]; for (;;) a = a.concat(a);"),
  "bomb-closures": bomb("let f = () => 1; for (;;) { const g = f; f = () => g; }"),
  "bomb-texts": bomb("const a = []; for (let i = 0; ; i++) a.push(String(i).repeat(1000) + a.length);"),
  "bomb-json": bomb("let t = '1'; for (;;) { t = JSON.stringify([t, t]); JSON.parse(t); }"),
  "bomb-regex": bomb(
    "const a = []; for (let i = 0; ; i++) { const r = new RegExp('x' + i); r.test('x'); a.push(r); }",
  ),
  "bomb-bytes": bomb("const a = []; for (;;) a.push(new Uint8Array(1e5));"),
  "bomb-buffers": bomb("const a = []; for (;;) a.push(new ArrayBuffer(1e5));"),
  "bomb-generator": bomb("function* g() { for (;;) yield [1, 2, 3]; } return [...g()];"),
  "bomb-promises": bomb("const a = []; for (;;) a.push(new Promise(() => {}));"),
  "bomb-async": bomb(
    "return (async () => { const a = []; for (;;) { await null; a.push(new Array(1e3).fill(1)); } })();",
  ),
  "bomb-weak": bomb(
    "const w = new WeakMap(), a = []; for (;;) { const k = {}; a.push(k); w.set(k, { k }); }",
  ),
  "bomb-bigint": bomb("const a = []; for (let i = 1n; ; i++) a.push(i << 10000n);"),
};

/** These ask for more than there can be. */
export const TOO_LARGE: Attacks = {
  "large-bytes": failingHook("new Uint8Array(1e9);", "SCRIPT_THREW", "SCRIPT_TIMEOUT"),
  "large-fill": failingHook("new Array(1e9).fill(1);", "SCRIPT_THREW"),
  "large-repeat": failingHook('"x".repeat(2 ** 29 - 24).charCodeAt(1);', "SCRIPT_THREW"),
  "large-pad": failingHook('"".padStart(2 ** 29 - 24, "ab").charCodeAt(1);', "SCRIPT_THREW"),
  "large-doubling": failingHook('let s = "x"; for (;;) s += s;', "SCRIPT_THREW"),
  "large-join": failingHook("new Array(2 ** 32 - 1).join('ab');", "SCRIPT_THREW"),
  "large-index-of": failingHook("Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);", "SCRIPT_THREW"),
  "large-sort": failingHook("Array.prototype.sort.call({ length: 2 ** 53 - 1 });", "SCRIPT_THREW"),
  "large-reverse": failingHook("const a = [1]; a.length = 2 ** 32 - 1; a.reverse();", "SCRIPT_THREW"),
  "large-raw": failingHook("String.raw({ raw: { length: 2 ** 53 - 1 } });", "SCRIPT_THREW"),
  "large-keys": failingHook("Object.keys(new Uint8Array(2e7));", "SCRIPT_THREW", "SCRIPT_TIMEOUT"),
  "large-split": failingHook('let s = "x ".repeat(5e6); s += s; s += s; s.split(" ");', "SCRIPT_THREW"),
  "large-bigint": failingHook("2n ** (2n ** 40n);", "SCRIPT_THREW"),
  "large-log": asking('let s = "x".repeat(2e6); s += s; s += s; ctx.log.info(s);', /^\[/),
  "large-url": failingHook(
    'let s = "x".repeat(1e7); s += s; s += s; new URL("http://a/" + s);',
    "SCRIPT_THREW",
  ),
  "large-random": failingHook(
    'let s = "1".repeat(1e7); for (let i = 0; i < 5; i++) s += s; ctx.crypto.randomBytes(s);',
    "SCRIPT_THREW",
  ),
  "large-header": failingHook('let s = "x".repeat(1e7); s += s; req.headers.set("x-a", s);', "SCRIPT_THREW"),
  "large-header-name": failingHook(
    'let s = "x".repeat(1e7); s += s; req.headers.set(s, "a");',
    "SCRIPT_THREW",
  ),
  "large-path": failingHook('req.url = "/" + "x".repeat(1e7);', "SCRIPT_THREW"),
  "large-state": failingHook('ctx.state.a = "x".repeat(1e5);', "SCRIPT_OUTPUT"),
  "large-body": failingHook('return ctx.reply({ body: "x".repeat(4e6) });', "SCRIPT_OUTPUT"),
  "large-throw": failingHook('throw new Error("x".repeat(1e6));', "SCRIPT_THREW"),
  "resizable-buffer": looking(
    "new ArrayBuffer(1, { maxByteLength: 1e9 })",
    "RangeError: An ArrayBuffer cannot be resizable here",
  ),
  "resizable-buffer-subclass": looking(
    "new (class extends ArrayBuffer {})(1, { maxByteLength: 1e9 })",
    "RangeError: An ArrayBuffer cannot be resizable here",
  ),
  "resizable-buffer-constructor": looking(
    "new (new Uint8Array(1).buffer.constructor)(1, { maxByteLength: 1e9 })",
    "RangeError: An ArrayBuffer cannot be resizable here",
  ),
  "resizable-buffer-lie": looking(
    "(() => { let n = 0; const o = { get maxByteLength() { return n++ ? 1e9 : undefined; } }; return new ArrayBuffer(1, o).resizable; })()",
    "undefined",
  ),
  "host-calls": failingHook("for (;;) ctx.now();", "SCRIPT_THREW"),
  "host-calls-log": endless('for (;;) ctx.log.info("x".repeat(8000));'),
  "host-calls-crypto": failingHook("for (;;) ctx.crypto.randomUUID();", "SCRIPT_THREW"),
  "host-calls-metrics": failingHook(
    'for (let i = 0; ; i++) ctx.metrics.counter("a" + i).inc();',
    "SCRIPT_THREW",
  ),
  "host-calls-kv": endless('for (let i = 0; ; i++) ctx.kv.get("a" + i).catch(() => {});', "SCRIPT_MEMORY"),
};
