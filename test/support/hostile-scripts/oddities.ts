/** Odd things thrown, and odd promises. */
import { type Attack, type Attacks, endless, failing, failingHook, seeing } from "./attack.ts";

const thrown = (what: string): Attack => failingHook(`throw ${what};`, "SCRIPT_THREW");

export const ODDITIES: Attacks = {
  "throw-null": thrown("null"),
  "throw-undefined": thrown("undefined"),
  "throw-symbol": thrown('Symbol("x")'),
  "throw-bigint": thrown("10n ** 100n"),
  "throw-function": thrown("() => {}"),
  "throw-proxy": thrown("new Proxy({}, { get() { throw 1; } })"),
  "throw-revoked-proxy": thrown(
    "(() => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; })()",
  ),
  "throw-cause-cycle": thrown('(() => { const e = new Error("x"); e.cause = e; return e; })()'),
  "throw-promise": thrown("Promise.reject(new Error('x'))"),
  "throw-class-of-null": thrown("Object.create((class extends null {}).prototype)"),
  "throw-no-prototype": thrown("Object.create(null)"),
  "throw-nested": thrown("{ get message() { throw { get message() { throw 1; } }; } }"),
  "throw-body-json": thrown('Object.assign(new Error("x"), { kind: "body-json" })'),
  "throw-trace-of-frames": thrown(
    'Object.assign(new Error("x"), { stack: "  at " + "a (b:1".repeat(1300) })',
  ),
  "throw-aggregate": thrown("new AggregateError(Array.from({ length: 1e4 }, () => new Error('x')))"),
  "throw-name-getter": endless("throw { get name() { for (;;); } };"),
  "throw-message-getter": endless("throw { get message() { for (;;); } };"),
  "throw-stack-getter": endless(
    "throw Object.defineProperty(new Error('x'), 'stack', { get() { for (;;); } });",
  ),
  "throw-to-primitive": endless("throw { message: { [Symbol.toPrimitive]() { for (;;); } } };"),
  "settle-twice": seeing(
    "{ request(req, ctx) { return new Promise((done, fail) => { done(ctx.reply({ body: 'first' })); done(ctx.reply({ body: 'second' })); fail(1); }); } }",
    "first",
  ),
  "then-twice": seeing(
    "{ request(req, ctx) { return { then(done, fail) { done(ctx.reply({ body: 'first' })); done(1); fail(2); } }; } }",
    "first",
  ),
  "then-throws": failingHook("return { then() { throw null; } };", "SCRIPT_THREW"),
  "then-nested": failingHook(
    "const deep = (n) => ({ then(done) { done(n === 0 ? 1 : deep(n - 1)); } }); return deep(100);",
    "SCRIPT_THREW",
  ),
  "never-settles": failingHook("return new Promise(() => {});", "SCRIPT_TIMEOUT"),
  "then-never": failingHook("return { then() {} };", "SCRIPT_TIMEOUT"),
  "rejects-unhandled": failingHook(
    "Promise.reject(new Error('lost')); return ctx.reply({ body: 'fine' });",
    "SCRIPT_THREW",
  ),
  "rejects-nothing": failing("{ async request() { throw undefined; } }", "SCRIPT_THREW"),
  "returns-text": failingHook("return 'R200\\nbt4:evil\\n';", "SCRIPT_THREW"),
  "returns-like-reply": failingHook("return { status: 200, __reply: true };", "SCRIPT_THREW"),
  "returns-proxy": failingHook(
    "return new Proxy(ctx.reply({}), { has() { return false; } });",
    "SCRIPT_THREW",
  ),
};
