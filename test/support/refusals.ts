/** Tables of raw requests against a gateway with a real upstream: what is refused, how, and what got through. */
import { STATUS_CODES } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ErrorCode } from "../../core/errors.ts";
import { proxyTo, startGateway, type TestGateway } from "./gateway.ts";
import { get, header, openRaw, problemCode } from "./raw-http.ts";
import { startUpstream, type TestUpstream } from "./upstream.ts";

/** A row: what is sent, and what must come of it. */
export interface Row {
  /** What is odd about the request. */
  name: string;
  /** Bytes, Latin-1. */
  send: string;
  status: number;
  /** `code` of the problem; none for a request that is served. */
  code?: ErrorCode;
  /** The connection goes on; by default a refusal ends it. */
  staysOpen?: boolean;
  /** Requests that began at the upstream, `METHOD url`; none by default. */
  seen?: string[];
}

/** Runs `rows`, each on its own connection, and asks after each whether the gateway still serves. */
export function describeRows(title: string, rows: readonly Row[]): void {
  describe(title, () => {
    let upstream: TestUpstream;
    let gateway: TestGateway;
    const began: string[] = [];

    beforeAll(async () => {
      upstream = await startUpstream((request, response) => {
        began.push(`${request.method} ${request.url}`);
        request.on("error", () => {});
        request.resume().on("end", () => response.end("ok"));
      });
      gateway = await startGateway(proxyTo(upstream.url));
    });

    afterAll(async () => {
      await gateway.stop();
      await upstream.close();
    });

    it.each(rows)("$name: $status $code", async ({ send, status, code, staysOpen = false, seen = [] }) => {
      began.length = 0;
      await using client = await openRaw(gateway.port);
      const reply = await client.ask(send);
      expect({ status: reply.status, code: problemCode(reply) }).toEqual({ status, code });
      expect(reply.reason).toBe(STATUS_CODES[status]);
      if (staysOpen) {
        expect(header(reply, "connection")).toBe("keep-alive");
        expect((await client.ask(get("/again"))).status).toBe(200);
        seen = [...seen, "GET /again"];
      } else {
        expect(header(reply, "connection")).toBe("close");
        await client.closed;
        expect(client.rest.toString("latin1")).toBe("");
      }
      await using after = await openRaw(gateway.port);
      expect((await after.ask(get("/after"))).body.toString()).toBe("ok");
      expect(began).toEqual([...seen, "GET /after"]);
    });
  });
}
