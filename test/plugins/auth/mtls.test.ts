import { createHash, X509Certificate } from "node:crypto";
import fc from "fast-check";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Consumers } from "../../../core/consumers.ts";
import { Peer } from "../../../core/peer.ts";
import { ConfigError, type Exchange, GatewayError, type Handler, textReply } from "../../../core/plugin.ts";
import { auth } from "../../../plugins/auth.ts";
import { alternativeNames, ClientCertificates } from "../../../plugins/auth/mtls/certificates.ts";
import { FORMATS, READERS } from "../../../plugins/auth/mtls/header.ts";
import {
  type Authority,
  type Certificate,
  type Client,
  createAuthority,
  issueClient,
} from "../../support/certificates.ts";
import { buildStage, exchange, FakeHost } from "../../support/harness.ts";

const derOf = ({ cert }: Certificate): Buffer => new X509Certificate(cert).raw;
/** As RFC 9440 has it. */
const fieldOf = (each: Certificate): string => `:${derOf(each).toString("base64")}:`;
const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

const DAY_MS = 86_400_000;

let ca: Authority;
let till: Certificate;
/** An authority that the first has signed, and what it has signed. */
let below: Certificate;
let lower: Certificate;
let host: FakeHost;
let seen: Exchange | undefined;

const names = (...certificates: string[]) =>
  certificates.map((certificate) => ({ id: certificate.slice(0, 20), certificate }));

beforeAll(async () => {
  ca = await createAuthority();
  till = await issueClient(ca, "till-7", {
    altNames: [
      { type: 2, value: "Till-7.example.com" },
      { type: 6, value: "spiffe://example.com/till/7" },
      { type: 1, value: "till-7@example.com" },
    ],
    use: "clientAuth",
    to: new Date(Date.now() + 400 * DAY_MS), // longer than its authority
  });
  below = await issueClient(ca, "below", { cA: true });
  lower = await issueClient(below, "till-7", {
    altNames: [{ type: 2, value: "till-7.example.com" }],
  });
});

beforeEach(() => {
  host = new FakeHost();
  host.clock.time = Date.now() + 1000;
  know("dns:till-7.example.com");
});

/** Has one consumer be known by these. */
function know(...certificates: string[]): void {
  host.consumers = new Consumers([
    { name: "till", roles: ["till"], apiKeys: [], certificates: names(...certificates) },
  ]);
}

const build = (options: object = {}): Promise<Handler> =>
  buildStage(
    auth,
    { methods: [{ mtls: { ca: ca.cert, ...options } }] } as never,
    (x) => {
      seen = x;
      return textReply(200, "in");
    },
    host,
  );

async function ask(headers: readonly string[], handler?: Handler, trusted = true): Promise<string> {
  seen = undefined;
  const x = exchange({ headers: [...headers] });
  Object.assign(x, { peer: new Peer("127.0.0.1", 80, "http", () => trusted) });
  try {
    const reply = await (handler ?? (await build()))(x);
    return `${reply.status} ${seen!.consumer?.name ?? "nobody"}`;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return [error.status, ...error.headers].join(" ");
  }
}

const REFUSED = "401 www-authenticate ClientCertificate";

describe("a certificate that a trusted proxy tells of", () => {
  it.each([
    ["a DNS name", () => "dns:till-7.example.com"],
    ["a URI", () => "uri:spiffe://example.com/till/7"],
    ["an email address", () => "email:till-7@example.com"],
    ["the subject", () => "subject:O=Example,CN=till-7"],
    ["the fingerprint", () => `sha256:${sha256(derOf(till))}`],
  ])("says who asks by %s", async (_, certificate) => {
    know(certificate());
    expect(await ask(["client-cert", fieldOf(till)])).toBe("200 till");
    expect(seen?.consumer).toEqual({
      name: "till",
      roles: ["till"],
      credential: certificate().slice(0, 20),
    });
  });

  it("is taken from the request with its chain, or kept if asked", async () => {
    const sent = ["a", "1", "Client-Cert", fieldOf(till), "client-cert-chain", ":AAAA:", "Client_Cert", "x"];
    sent.push("Client.Cert", "x");
    await ask(sent);
    expect(seen?.headers.raw).toEqual(["a", "1"]);
    await ask(sent, await build({ keep: true }));
    expect(seen?.headers.raw).toEqual(sent.slice(0, 6));
  });

  it("is nobody's from anybody else, and taken from the request", async () => {
    const optional = await buildStage(
      auth,
      { methods: [{ mtls: { ca: ca.cert, keep: true } }], optional: true } as never,
      (x) => {
        seen = x;
        return textReply(200, "in");
      },
      host,
    );
    expect(await ask(["client-cert", fieldOf(till), "b", "2"], optional, false)).toBe("200 nobody");
    expect(seen?.headers.raw).toEqual(["b", "2"]);
    expect(await ask(["client-cert", fieldOf(till)], await build(), false)).toBe(REFUSED);
  });

  it("counts as long as it, its authority and its credential are valid, also when it is remembered", async () => {
    const handler = await build();
    const altNames = [{ type: 2, value: "till-7.example.com" }] satisfies Client["altNames"];
    const brief = await issueClient(ca, "till-7", { altNames, to: new Date(Date.now() + DAY_MS) });
    for (const [each, last] of [
      [brief, brief],
      [till, ca],
    ] as const) {
      const end = new X509Certificate(last.cert).validToDate.getTime();
      host.clock.time = end - 1;
      expect(await ask(["client-cert", fieldOf(each)], handler)).toBe("200 till");
      host.clock.time = end;
      expect(await ask(["client-cert", fieldOf(each)], handler)).toBe(REFUSED);
      host.clock.time = Date.now() - DAY_MS;
      expect(await ask(["client-cert", fieldOf(each)], handler)).toBe(REFUSED);
    }

    host.clock.time = Date.now() + 1000;
    const apiKeys: never[] = [];
    const certificates = names("dns:till-7.example.com").map((each) => ({ ...each, expiresAt: 1 }));
    host.consumers = new Consumers([{ name: "till", roles: [], apiKeys, certificates }]);
    expect(await ask(["client-cert", fieldOf(till)])).toBe(REFUSED);
  });

  it("is no longer known once consumers have changed", async () => {
    expect(await ask(["client-cert", fieldOf(till)])).toBe("200 till");
    know("dns:till-8.example.com");
    expect(await ask(["client-cert", fieldOf(till)])).toBe(REFUSED);
  });

  it("is refused when its names belong to two consumers", async () => {
    host.consumers = new Consumers([
      { name: "till", roles: [], apiKeys: [], certificates: names("dns:till-7.example.com") },
      { name: "other", roles: [], apiKeys: [], certificates: names("email:till-7@example.com") },
    ]);
    expect(await ask(["client-cert", fieldOf(till)])).toBe(REFUSED);
  });

  it("is taken from requests that another method has let in", async () => {
    host.consumers = new Consumers([
      { name: "app", roles: [], apiKeys: [{ id: "k", sha256: sha256(Buffer.from("the-key")) }] },
    ]);
    const methods = ["apiKey", { mtls: { ca: ca.cert, format: "pem", keep: true } }];
    const handler = await buildStage(
      auth,
      { methods } as never,
      (x) => {
        seen = x;
        return textReply(200, "in");
      },
      host,
    );
    expect(await ask(["x-api-key", "the-key", "SSL_Client_Cert", "x"], handler)).toBe("200 app");
    expect(seen?.headers.raw).toEqual([]);
  });
});

describe("what is refused in the same words", () => {
  const others: Record<string, () => string[] | Promise<string[]>> = {
    "no certificate": () => [],
    "an empty header": () => ["client-cert", ""],
    "two certificates": () => ["client-cert", fieldOf(till), "client-cert", fieldOf(till)],
    "two in a line": () => ["client-cert", `${fieldOf(till)}, ${fieldOf(till)}`],
    "what is no structured field": () => ["client-cert", derOf(till).toString("base64")],
    "what is no certificate": () => ["client-cert", ":AAAA:"],
    "half of it": () => ["client-cert", `:${derOf(till).subarray(0, 200).toString("base64")}:`],
    "the same in another format": () => ["client-cert", encodeURIComponent(till.cert)],
    "a changed one": () => {
      const der = Buffer.from(derOf(till));
      der[der.length - 1]! ^= 1;
      return ["client-cert", `:${der.toString("base64")}:`];
    },
    "one of another authority of the same name": async () => {
      const other = await createAuthority();
      const altNames = [{ type: 2, value: "till-7.example.com" }] satisfies Client["altNames"];
      return ["client-cert", fieldOf(await issueClient(other, "till-7", { altNames }))];
    },
    "one by an authority below, whatever chain comes with it": () => [
      "client-cert",
      fieldOf(lower),
      "client-cert-chain",
      fieldOf(below),
    ],
    "a server's": async () => {
      const altNames = [{ type: 2, value: "till-7.example.com" }] satisfies Client["altNames"];
      return ["client-cert", fieldOf(await issueClient(ca, "till-7", { altNames, use: "serverAuth" }))];
    },
    "one with a weak signature": async () => {
      const altNames = [{ type: 2, value: "till-7.example.com" }] satisfies Client["altNames"];
      return ["client-cert", fieldOf(await issueClient(ca, "till-7", { altNames, algorithm: "sha1" }))];
    },
    "one that nobody is known by": async () => ["client-cert", fieldOf(await issueClient(ca, "till-7"))],
    "one for all names below": async () => {
      const altNames = [{ type: 2, value: "*.example.com" }] satisfies Client["altNames"];
      return ["client-cert", fieldOf(await issueClient(ca, "all", { altNames }))];
    },
  };

  it.each(Object.entries(others))("%s", async (_, headersOf) => {
    const headers = await headersOf();
    const handler = await build();
    expect(await ask(headers, handler)).toBe(REFUSED);
    expect(await ask(headers, handler)).toBe(REFUSED); // from memory
    expect(seen).toBeUndefined();
  });
});

describe("other formats", () => {
  it("are PEM in percent-encoding", async () => {
    const handler = await build({ format: "pem" });
    const encoded = encodeURIComponent(till.cert);
    expect(await ask(["ssl-client-cert", encoded], handler)).toBe("200 till");
    expect(
      await ask(["ssl-client-cert", encoded.replaceAll("%2B", "+").replaceAll("%2F", "/")], handler),
    ).toBe("200 till");
    for (const wrong of [`${encoded}${encoded}`, "%", "%zz", fieldOf(till), encoded.slice(0, 100)]) {
      expect(await ask(["ssl-client-cert", wrong], handler)).toBe(REFUSED);
    }
    const elsewhere = await build({ format: "pem", header: "X-Amzn-Mtls-Clientcert-Leaf" });
    expect(await ask(["x-amzn-mtls-clientcert-leaf", encoded], elsewhere)).toBe("200 till");
  });

  it("are the elements of Envoy, of which there must be one", async () => {
    const handler = await build({ format: "xfcc" });
    const cert = `Cert="${encodeURIComponent(till.cert)}"`;
    const right = [cert, `By=spiffe://a/b;Hash=ab;${cert};Subject="CN=\\"a\\",O=b; c";URI=`, `By=x;${cert}`];
    for (const each of right) expect(await ask(["x-forwarded-client-cert", each], handler)).toBe("200 till");
    const wrong = [
      `${cert},By=x`,
      `By=x,${cert}`,
      `${cert};${cert}`,
      `Hash=${sha256(derOf(till))};URI=spiffe://example.com/till/7`,
      `Subject="${cert}`,
      `Subject="\\";${cert}"`,
      cert.replace("Cert", "Chain"),
      "Cert=",
      ";",
    ];
    for (const each of wrong) {
      expect(await ask(["x-forwarded-client-cert", each], handler), each).toBe(REFUSED);
    }
  });
});

it.each(FORMATS)("finds nothing in what is not written as %s has it", (format) => {
  const piece = fc.constantFrom(
    "Cert=",
    '"',
    ";",
    ",",
    ":",
    "%2B",
    "%",
    "\\",
    "AAAA",
    "-----BEGIN CERTIFICATE-----",
  );
  const anyText = fc.oneof(
    fc.string(),
    fc.array(piece).map((pieces) => pieces.join("")),
  );
  fc.assert(
    fc.property(anyText, (text) => {
      const certificates = new ClientCertificates([new X509Certificate(ca.cert)], READERS[format]);
      expect(certificates.find(text)).toBeUndefined();
    }),
  );
});

it("refuses authorities that cannot be read, and names that no header has", async () => {
  await expect(build({ ca: "ca.pem" })).rejects.toMatchObject({
    problems: [{ pointer: "/methods/0/mtls/ca", code: "CONFIG_CERTIFICATE" }],
  });
  await expect(build({ header: "a b" })).rejects.toBeInstanceOf(ConfigError);
});

it("does not let in what somebody has signed who is listed and is no authority", async () => {
  const altNames = [{ type: 2, value: "till-7.example.com" }] satisfies Client["altNames"];
  const rogue = await issueClient(till, "rogue", { altNames });
  const handler = await build({ ca: till.cert });
  expect(await ask(["client-cert", fieldOf(rogue)], handler)).toBe(REFUSED);
  expect(await ask(["client-cert", fieldOf(till)], handler)).toBe("200 till");
});

it("lets in what an authority below has issued when that is listed itself", async () => {
  expect(await ask(["client-cert", fieldOf(lower)], await build({ ca: below.cert }))).toBe("200 till");
});

it("lets in a certificate that signed itself when it is listed itself", async () => {
  const own = await createAuthority("till-9");
  know("subject:CN=till-9");
  expect(await ask(["client-cert", fieldOf(own)], await build({ ca: `${ca.cert}\n${own.cert}` }))).toBe(
    "200 till",
  );
});

/** Made by OpenSSL, with all in its names that could be taken for something else. */
const ODD = `
-----BEGIN CERTIFICATE-----
MIIC9zCCAp6gAwIBAgIUVKOe0C8JyxlBv7HMmARPkM1zmOAwCgYIKoZIzj0EAwIw
fjELMAkGA1UEBhMCREUxFjAUBgNVBAoMDUV4w6RtcGxlLCBJbmMxFDASBgNVBAsM
C2xlYWQgKyBwbHVzMRowCQYDVQQFEwIxMjANBgNVBAMMBnRpbGwgNzEUMBIGCSqG
SIb3DQEJARYFYUBiLmMxDzANBgYrBgEEAWMMA29kZDAeFw0yNjExMjExODI0MTRa
Fw0yNjExMjMxODI0MTRaMH4xCzAJBgNVBAYTAkRFMRYwFAYDVQQKDA1FeMOkbXBs
ZSwgSW5jMRQwEgYDVQQLDAtsZWFkICsgcGx1czEaMAkGA1UEBRMCMTIwDQYDVQQD
DAZ0aWxsIDcxFDASBgkqhkiG9w0BCQEWBWFAYi5jMQ8wDQYGKwYBBAFjDANvZGQw
WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQpROG5ATnsAuAyLvPPBl6bZj1Bn1sd
N/sPUmtyx38N4PczhovbZWIabTfzLuDcSejsNpoyOmLk+GMQkH6MKrLco4H5MIH2
MIG/BgNVHREEgbcwgbSCElRpbGwtNy5leGFtcGxlLmNvbYIHKi54LmNvbYIPYSwg
RE5TOmV2aWwuY29thhZzcGlmZmU6Ly9leGFtcGxlLmNvbS9hhgxodHRwOi8vYS9i
LGOGCmh0dHA6Ly9hL2KBDm1lQGV4YW1wbGUuY29thwQKAAABpBswGTEXMBUGA1UE
AwwOZm9vLCBETlM6ZXZpbDOgGgYDKgMEoBMMEWhpLCBETlM6ZXZpbDIuY29tiAMq
AwQwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0OBBYEFOqc+cWBvW8ahckHKKK2
bVU7sU3rMAoGCCqGSM49BAMCA0cAMEQCIEyRTUyOGcqS0kuAbs1KwQniqShEODeD
/SMrb2rM54opAiAKAdq8W0nabTfHiM6izlJ3Rw1Lr3X+zPI5B/nJdH+KUQ==
-----END CERTIFICATE-----`;

describe("the names of a certificate", () => {
  it("are not mistaken for others, whatever is in them", () => {
    const odd = new X509Certificate(ODD);
    const { names: found } = new ClientCertificates([odd], () => undefined).judge(odd)!;
    expect(found.slice(1)).toEqual([
      "dns:till-7.example.com",
      "dns:*.x.com",
      "dns:a, dns:evil.com",
      "uri:spiffe://example.com/a",
      "uri:http://a/b,c",
      "uri:http://a/b",
      "email:me@example.com",
      // As `openssl x509 -noout -subject -nameopt RFC2253,-esc_msb` prints it, but for kinds that it does not know.
      "subject:1.3.6.1.4.1.99=odd,emailAddress=a@b.c,CN=till 7+serialNumber=12,OU=lead \\+ plus,O=Ex\u00e4mple\\, Inc,C=DE",
    ]);
  });

  it.each(["DNS:a, DNS", "DNS:a,DNS:b", 'DNS:"a, DNS:b', 'DNS:a"b', "DNS:a, :b", "nonsense"])(
    "are none when they are not written as expected: %s",
    (text) => {
      expect(alternativeNames(text)).toEqual([]);
    },
  );
});
