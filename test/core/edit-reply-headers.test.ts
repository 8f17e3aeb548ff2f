import { describe, expect, it } from "vitest";
import { editReplyHeaders } from "../../core/edit-reply-headers.ts";
import { GatewayError } from "../../core/errors.ts";
import { HeaderList } from "../../core/headers.ts";
import { problemReply } from "../../core/reply.ts";
import { exchange, reply } from "../support/harness.ts";

describe("editReplyHeaders", () => {
  it("edits the reply of the stages below", async () => {
    const x = exchange();
    const out = await editReplyHeaders(
      x,
      () => reply(200),
      (h) => h.set("a", "1"),
    );
    expect(out.headers.raw).toEqual(["a", "1"]);
    expect(x.failureHeaders).toBeUndefined();
  });

  it("edits the headers of the failure and throws the same failure on", async () => {
    const x = exchange();
    const failure = new TypeError("bug");
    const fail = () => {
      throw failure;
    };
    const run = () => editReplyHeaders(x, fail, (h) => h.set("a", "1"));
    await expect(run()).rejects.toBe(failure);
    await expect(run()).rejects.toBe(failure);
    expect(x.failureHeaders?.raw).toEqual(["a", "1"]);
  });
});

describe("problemReply with more headers", () => {
  it("lets them replace the failure's own and joins Vary", () => {
    const error = new GatewayError("UPSTREAM_UNAVAILABLE", {
      headers: ["retry-after", "5", "x-a", "old", "Vary", "accept"],
    });
    const out = problemReply(error, "id", new HeaderList(["X-A", "new", "vary", "Origin, Accept"]));
    expect(out.headers.get("retry-after")).toBe("5");
    expect(out.headers.getAll("x-a")).toEqual(["new"]);
    expect(out.headers.getJoined("vary")).toBe("accept, origin");
  });
});
