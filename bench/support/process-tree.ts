/** A process and all that it started, as /proc tells of them: CPU time and memory of the whole. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks a second in /proc/PID/stat. */
const TICKS = Number(spawnSync("getconf", ["CLK_TCK"], { encoding: "utf8" }).stdout) || 100;

/** What /proc/PID/stat says. */
export interface ProcessStat {
  pid: number;
  parent: number;
  name: string;
  /** User and system time, of all threads when it is the stat of a process. */
  ownTicks: number;
  /** The same of children that have ended and were waited for. */
  childTicks: number;
}

/** Reads the text of /proc/PID/stat. The name in parentheses may hold spaces and parentheses. */
export function parseStat(text: string): ProcessStat {
  const nameEnd = text.lastIndexOf(")");
  const nameStart = text.indexOf("(");
  const fields = text.slice(nameEnd + 2).split(" ");
  const ticks = (from: number, to: number): number =>
    fields.slice(from - 3, to - 2).reduce((sum, field) => sum + Number(field), 0); // the first here is field 3
  return {
    pid: Number(text.slice(0, nameStart - 1)),
    parent: Number(fields[1]),
    name: text.slice(nameStart + 1, nameEnd),
    // utime, stime, cutime, cstime in proc_pid_stat(5)
    ownTicks: ticks(14, 15),
    childTicks: ticks(16, 17),
  };
}

/** Bytes of a field like `Rss:  1234 kB` in a text of /proc; 0 when it is not there. */
export function parseKilobytes(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) * 1024;
}

/** The process and its children, theirs, and so on. */
export function selectTree(root: number, all: readonly ProcessStat[]): ProcessStat[] {
  const tree = all.filter(({ pid }) => pid === root);
  for (const { pid } of tree) tree.push(...all.filter(({ parent }) => parent === pid));
  return tree;
}

function readTree(root: number): ProcessStat[] {
  const all = readdirSync("/proc").flatMap((entry) => {
    const text = /^\d+$/.test(entry) ? readIfThere(`/proc/${entry}/stat`) : undefined;
    return text === undefined ? [] : [parseStat(text)];
  });
  return selectTree(root, all);
}

/** Processes come and go while /proc is read. */
function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** CPU time of the whole tree so far, in microseconds. */
export function treeCpuMicros(root: number): number {
  const ticks = readTree(root).reduce((sum, { ownTicks, childTicks }) => sum + ownTicks + childTicks, 0);
  return (ticks * 1e6) / TICKS;
}

/** CPU time of one thread. */
export interface ThreadTime {
  id: number;
  ticks: number;
}

/** The threads of the whole tree, with what each has used so far. */
export function treeThreads(root: number): ThreadTime[] {
  return readTree(root).flatMap(({ pid }) =>
    readdirSync(`/proc/${pid}/task`).flatMap((id) => {
      const text = readIfThere(`/proc/${pid}/task/${id}/stat`);
      return text === undefined ? [] : [{ id: Number(id), ticks: parseStat(text).ownTicks }];
    }),
  );
}

/** Part of all CPU time between two looks that the busiest thread has used. */
export function shareOfBusiest(before: readonly ThreadTime[], after: readonly ThreadTime[]): number {
  const spent = after.map(({ id, ticks }) => ticks - (before.find((other) => other.id === id)?.ticks ?? 0));
  return Math.max(...spent) / spent.reduce((sum, each) => sum + each, 0);
}

/** Memory in bytes. */
export interface Memory {
  rss: number;
  /** As RSS, but a page that several processes share counts by its share in each. */
  pss: number;
  /** Most RSS so far; of a tree: the sum of each process's own most. */
  peak: number;
}

export interface TreeMemory extends Memory {
  processes: number;
  /** Of the largest process: the one that serves, where others only look after it. */
  largest: Memory;
}

/** Memory of the whole tree now. */
export function treeMemory(root: number): TreeMemory {
  const members = readTree(root).map(({ pid }): Memory => {
    const rollup = readIfThere(`/proc/${pid}/smaps_rollup`) ?? "";
    const status = readIfThere(`/proc/${pid}/status`) ?? "";
    return {
      rss: parseKilobytes(status, "VmRSS"),
      pss: parseKilobytes(rollup, "Pss"),
      peak: parseKilobytes(status, "VmHWM"),
    };
  });
  return sumMemory(members);
}

export function sumMemory(members: readonly Memory[]): TreeMemory {
  const sum = (pick: (memory: Memory) => number): number =>
    members.reduce((all, each) => all + pick(each), 0);
  const largest = members.reduce((most, each) => (each.rss > most.rss ? each : most), {
    rss: 0,
    pss: 0,
    peak: 0,
  });
  return {
    rss: sum((each) => each.rss),
    pss: sum((each) => each.pss),
    peak: sum((each) => each.peak),
    processes: members.length,
    largest,
  };
}
