import { describe, expect, it } from "vitest";
import { GatewayError } from "../../core/errors.ts";
import { problemReply, Reply, textReply } from "../../core/reply.ts";
import { bodyText, headerList } from "../support/harness.ts";

describe("a reply", () => {
  it("has no headers, body, reason and error code unless given", () => {
    const reply = new Reply(204);
    expect(reply).toMatchObject({ status: 204, body: null, reason: undefined, errorCode: undefined });
    expect(reply.headers.raw).toEqual([]);
  });
});

describe("textReply", () => {
  it("is plain text with its length in bytes", async () => {
    const reply = textReply(200, "né");
    expect(reply.headers.raw).toEqual(["content-type", "text/plain; charset=utf-8", "content-length", "3"]);
    expect(await bodyText(reply)).toBe("né");
  });

  it("takes a type and more headers", () => {
    const reply = textReply(404, "{}", "application/json", ["x-a", "1"]);
    expect(reply.status).toBe(404);
    expect(reply.headers.raw).toEqual([
      "content-type",
      "application/json",
      "content-length",
      "2",
      "x-a",
      "1",
    ]);
  });
});

describe("problemReply", () => {
  it("tells code, status, title and detail of the failure, and the request's id", async () => {
    const reply = problemReply(
      new GatewayError("BODY_TOO_LARGE", { detail: "More than 5 bytes", headers: ["x-a", "1"] }),
      "r-1",
    );
    expect([reply.status, reply.errorCode]).toEqual([413, "BODY_TOO_LARGE"]);
    expect(reply.headers.get("content-type")).toBe("application/problem+json");
    expect(reply.headers.get("x-a")).toBe("1");
    expect(JSON.parse(await bodyText(reply))).toEqual({
      type: "urn:sluice:error:BODY_TOO_LARGE",
      title: "The request body is too large",
      status: 413,
      detail: "More than 5 bytes",
      code: "BODY_TOO_LARGE",
      requestId: "r-1",
    });
  });

  it("never tells the cause", async () => {
    const error = new GatewayError("INTERNAL", { cause: new Error("secret") });
    expect(await bodyText(problemReply(error))).not.toContain("secret");
  });

  it("takes more cookies, beside its own", () => {
    const error = new GatewayError("INTERNAL", { headers: ["set-cookie", "a=1"] });
    const more = headerList(["Set-Cookie", "b=2", "set-cookie", "c=3"]);
    const { headers } = problemReply(error, undefined, more);
    expect(headers.getAll("set-cookie")).toEqual(["a=1", "b=2", "c=3"]);
  });

  it("takes more headers, which win; Vary is joined", () => {
    const error = new GatewayError("IP_DENIED", { headers: ["x-a", "1", "vary", "Accept"] });
    const more = headerList(["X-A", "2", "Vary", "Origin, accept", "x-b", "3"]);
    const { headers } = problemReply(error, undefined, more);
    expect(headers.raw.slice(4)).toEqual(["x-a", "2", "vary", "Accept, origin", "x-b", "3"]);
  });
});
