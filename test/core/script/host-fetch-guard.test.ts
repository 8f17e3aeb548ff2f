import { describe, expect, it } from "vitest";
import { FetchGuard } from "../../../core/script/host-fetch-guard.ts";

const guard = (hosts: string[], privateAddresses: string[] = []): FetchGuard =>
  new FetchGuard({ hosts, privateAddresses });

describe("hosts that are granted", () => {
  it.each([
    ["api.example.com", "https://api.example.com/", true],
    ["api.example.com", "http://api.example.com/", true],
    ["API.Example.COM", "https://api.EXAMPLE.com/", true],
    ["api.example.com", "https://api.example.com:443/", true],
    ["api.example.com", "https://api.example.com:8443/", false],
    ["api.example.com", "http://api.example.com:443/", false],
    ["api.example.com", "https://example.com/", false],
    ["api.example.com", "https://a.api.example.com/", false],
    ["api.example.com", "https://api.example.com.evil.com/", false],
    ["api.example.com", "https://api.example.com@evil.com/", false],
    ["api.example.com", "https://evil.com/#@api.example.com", false],
    ["api.example.com:8443", "https://api.example.com:8443/", true],
    ["api.example.com:443", "https://api.example.com/", true],
    ["api.example.com:8443", "https://api.example.com/", false],
    ["*.example.com", "https://a.example.com/", true],
    ["*.example.com", "https://a.b.example.com/", true],
    ["*.example.com", "https://example.com/", false],
    ["*.example.com", "https://evilexample.com/", false],
    ["*.example.com:81", "http://a.example.com:81/", true],
    ["*.example.com:81", "http://a.example.com/", false],
    ["10.0.0.7:8080", "http://10.0.0.7:8080/", true],
    ["10.0.0.7", "http://0x0a.7/", true],
    ["[FD00::1]:80", "http://[fd00:0::1]/", true],
  ])("%s: %s is %s", (host, url, expected) => {
    expect(guard([host]).allowsHost(new URL(url))).toBe(expected);
  });
});

describe("addresses", () => {
  const PRIVATE = [
    ..."0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1".split(
      " ",
    ),
    ..."127.255.255.255 168.63.129.16 169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255".split(" "),
    ..."192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.7".split(" "),
    ..."203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255".split(" "),
    ..."::1 :: ::7f00:1 ::ffff:127.0.0.1 ::ffff:a00:1 ::ffff:169.254.169.254 64:ff9b::a00:1".split(" "),
    ..."64:ff9b::8.8.8.8 64:ff9b:1::1 100::1 fc00::1 fd00:ec2::254 fd20:ce::254 fe80::1 fe80::1%eth0".split(
      " ",
    ),
    ..."fec0::1 ff02::1 2001::1 2001:db8::1 2002:7f00:1::1 2002:a00:1:: 3fff::1 5f00::1 4000::1".split(" "),
  ];

  it.each(PRIVATE)("%s is refused", (address) => {
    expect(guard([]).allowsAddress(address)).toBe(false);
  });

  it.each([
    ..."1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0".split(
      " ",
    ),
    ..."172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255".split(
      " ",
    ),
    ..."2606:4700::1111 2a00:1450:4001::200e 2400:cb00:2048::1 ::ffff:8.8.8.8 2001:4860:4860::8888".split(
      " ",
    ),
  ])("%s is public", (address) => {
    expect(guard([]).allowsAddress(address)).toBe(true);
  });

  it("that are not public can be listed, and others stay refused", () => {
    const own = guard([], ["10.1.0.0/16", "::1"]);
    const isAllowed = (address: string): boolean => own.allowsAddress(address);
    expect(["10.1.2.3", "::ffff:10.1.2.3", "::1"].every(isAllowed)).toBe(true);
    expect(["10.2.0.1", "127.0.0.1", "fd00::1"].some(isAllowed)).toBe(false);
  });

  it("are those that a URL means, however they are spelt", () => {
    for (const host of [
      "127.0.0.1",
      "0x7f.1",
      "2130706433",
      "017700000001",
      "127.1",
      "[::ffff:127.0.0.1]",
      "[::1]",
    ]) {
      expect(guard([]).allowsLiteral(new URL(`http://${host}/`))).toBe(false);
    }
    expect(guard([]).allowsLiteral(new URL("http://8.8.8.8/"))).toBe(true);
  });

  it("of a name are used only where they are allowed", () => {
    const answer = [
      { address: "10.0.0.1", family: 4 },
      { address: "8.8.8.8", family: 4 },
      { address: "::1", family: 6 },
    ];
    const own = new FetchGuard({ hosts: [], privateAddresses: [] }, (_name, callback) =>
      callback(null, answer),
    );
    const heard: unknown[] = [];
    own.lookup("a.test", { all: true }, (...args) => heard.push(args));
    own.lookup("a.test", {}, (...args) => heard.push(args));
    expect(heard).toEqual([
      [null, [answer[1]]],
      [null, "8.8.8.8", 4],
    ]);
  });
});
