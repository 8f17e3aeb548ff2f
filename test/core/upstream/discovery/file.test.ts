import { mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FollowedDiscovery } from "../../../support/discovery.ts";
import { TempFolder } from "../../config/temp-folder.ts";

let folder: TempFolder;
beforeEach(() => {
  folder = new TempFolder();
});
afterEach(() => folder.remove());

const follow = (file: string): FollowedDiscovery => new FollowedDiscovery({ file }, folder.path);

describe("targets in a file", () => {
  it("are URLs, with or without a weight, as JSON", async () => {
    folder.write(
      "t.json",
      '["http://127.0.0.1:1", {"url": "http://127.0.0.1:2", "weight": 3}, {"url": "unix:/a"}]',
    );
    await using followed = follow("t.json");
    await followed.discovery.ready;
    expect(followed.weights).toEqual({ "http://127.0.0.1:1": 1, "http://127.0.0.1:2": 3, "unix:/a": 1 });
  });

  it("are the same as YAML, relative to the configuration or absolute", async () => {
    const path = folder.write(
      "sub/t.yaml",
      "- http://127.0.0.1:1\n- { url: http://127.0.0.1:2, weight: 0 }\n",
    );
    for (const file of ["./sub/t.yaml", path]) {
      await using followed = follow(file);
      await followed.discovery.ready;
      expect(followed.weights).toEqual({ "http://127.0.0.1:1": 1, "http://127.0.0.1:2": 0 });
    }
  });

  it("are read again when the file is written, and a change of nothing changes nothing", async () => {
    folder.write("t.json", '["http://a"]');
    await using followed = follow("t.json");
    await followed.discovery.ready;
    folder.write("t.json", '["http://a", "http://b"]');
    await followed.found("http://a", "http://b");
    folder.write("t.json", '["http://b", "http://a/"] ');
    await followed.until(() => followed.count("file", "unchanged") === 1);
    expect(followed.changes).toBe(2);
  });

  it("are read again when another file takes its name", async () => {
    folder.write("t.json", '["http://a"]');
    await using followed = follow("t.json");
    await followed.discovery.ready;
    for (const name of ["b", "c"]) {
      const next = folder.write("next", `["http://${name}"]`);
      renameSync(next, join(folder.path, "t.json"));
      await followed.found(`http://${name}`);
    }
  });

  it("are read again when a link on the way is swapped, as Kubernetes does with a ConfigMap", async () => {
    const { path } = folder;
    folder.write("..1/t.json", '["http://a"]');
    folder.write("..2/t.json", '["http://b"]');
    symlinkSync("..1", join(path, "..data"));
    symlinkSync("..data/t.json", join(path, "t.json"));
    await using followed = follow("t.json");
    await followed.discovery.ready;
    expect(followed.urls).toEqual(["http://a"]);
    symlinkSync("..2", join(path, "..tmp"));
    renameSync(join(path, "..tmp"), join(path, "..data"));
    rmSync(join(path, "..1"), { recursive: true });
    await followed.found("http://b");
  });

  it("are none when the list is empty", async () => {
    folder.write("t.json", '["http://a"]');
    await using followed = follow("t.json");
    await followed.discovery.ready;
    folder.write("t.json", "[]");
    await followed.found();
    expect(followed.discovery.failure).toBeUndefined();
  });

  it("are found when the file, and its folder, come later", async () => {
    await using followed = follow("sub/t.json");
    await followed.discovery.ready;
    expect(followed.discovery.failure?.message).toBe("sub/t.json: The file does not exist");
    mkdirSync(join(folder.path, "sub"));
    folder.write("sub/t.json", '["http://a"]');
    await followed.found("http://a");
    expect(followed.discovery.failure).toBeUndefined();
  });

  it("stay while the file is gone", async () => {
    const path = folder.write("t.json", '["http://a"]');
    await using followed = follow("t.json");
    await followed.discovery.ready;
    unlinkSync(path);
    expect(await followed.failed()).toBe("t.json: The file does not exist");
    expect(followed.urls).toEqual(["http://a"]);
    writeFileSync(path, '["http://a"]');
    await followed.recovered();
    expect(followed.changes).toBe(1);
  });

  it.each([
    ["t.json", '["http://b",\n "http://c', "t.json:2:2: This text is not closed"],
    ["t.json", "", "t.json:1:1: The file ends before a value"],
    ["t.yaml", "# later\n", "t.yaml: The file is empty"],
    ["t.yaml", "- http://b\n- [http://c", "t.yaml:2:3: This [ is never closed"],
    ["t.json", '{"targets": []}', "t.json:1:1: Expected a list, found a map"],
    [
      "t.json",
      '["http://b",\n  {"url": "http://c", "weigth": 2}]',
      't.json:2:23: Unknown key "weigth"; did you mean "weight"?',
    ],
    [
      "t.json",
      '["http://b",\n  "ftp://c"]',
      "t.json:2:3: A target is a URL that starts with http:// or https://",
    ],
    [
      "t.json",
      '["http://b",\n  {"url": "http://u:p@c"}]',
      "t.json:2:11: A target's URL cannot have a user name",
    ],
    ["t.json", '[{"url": "http://b", "weight": 20000}, 7]', "(and 1 more)"],
    ["t.json", Buffer.from([0x5b, 0xff, 0x5d]), "t.json:1:2: The file is not valid UTF-8 here"],
  ])("stay while %s holds %j, and the reason says where", async (name, content, reason) => {
    folder.write(name, name.endsWith(".json") ? '["http://a"]' : "- http://a");
    await using followed = follow(name);
    await followed.discovery.ready;
    folder.write(name, content);
    expect(await followed.failed()).toContain(reason);
    expect(followed.urls).toEqual(["http://a"]);
    folder.write(name, name.endsWith(".json") ? '["http://b"]' : "- http://b");
    await followed.found("http://b");
    await followed.recovered();
  });

  it("end with their discovery: later changes are nobody's", async () => {
    folder.write("t.json", '["http://a"]');
    const followed = follow("t.json");
    await followed.discovery.ready;
    await followed.discovery.close();
    folder.write("t.json", '["http://b"]');
    expect(followed.urls).toEqual(["http://a"]);
    await followed.until(() => !process.getActiveResourcesInfo().includes("FSEventWrap"));
  });
});
