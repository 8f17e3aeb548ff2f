/**
 * Lets requests pass whose URL somebody with the key has signed, such as a link to a download that ends:
 * `/files/report.pdf?expires=1767225600&signature=…`, the HMAC-SHA256 (base64url) of all before `&signature`.
 *
 *   - plugin: signed-url
 *     grants: { secrets: { URL_KEY: "${env:URL_KEY}" } }
 */
import { definePlugin } from "sluice/plugin";

export default definePlugin({
  request(req, ctx) {
    const refuse = (reason: string) => ctx.reply({ status: 403, body: { error: reason } });
    const [, signed, signature] = /^(.*)&signature=([\w-]+)$/.exec(req.url) ?? [];
    if (signed === undefined || signature === undefined) return refuse("the URL is not signed");
    const expected = ctx.crypto.hmac("sha256", ctx.secrets["URL_KEY"]!, signed, "base64url");
    if (!ctx.crypto.timingSafeEqual(signature, expected)) return refuse("the signature is wrong");

    const expires = Number(req.query.get("expires") ?? Number.NaN);
    if (!(ctx.now() < expires * 1000)) return refuse("the URL is no longer valid");
    req.query.delete("signature");
    req.query.delete("expires");
  },
});
