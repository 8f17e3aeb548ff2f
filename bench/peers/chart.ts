/** A picture of figures: horizontal bars as SVG, readable on light and dark pages. */

export interface Bar {
  name: string;
  value: number;
  /** Ours are in another colour. */
  isOwn: boolean;
}

export interface Chart {
  title: string;
  /** Below the title: what was measured, and where. */
  subtitle: string;
  unit: string;
  bars: readonly Bar[];
}

const WIDTH = 760;
const NAMES_WIDTH = 170;
const VALUES_WIDTH = 80;
const ROW_HEIGHT = 26;
const BAR_HEIGHT = 16;
const TOP = 62;

const STYLE = `
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .title { font-size: 16px; font-weight: 600; }
  .soft { fill: #59636e; font-size: 12px; }
  .own { fill: #0969da; }
  .peer { fill: #9aa4af; }
  text.own { font-weight: 600; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .soft { fill: #9198a1; }
    .own { fill: #4493f8; }
    .peer { fill: #656c76; }
  }`;

function escapeXml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** Draws the bars from the shortest to the longest. */
export function drawChart({ title, subtitle, unit, bars }: Chart): string {
  const sorted = bars.toSorted((a, b) => a.value - b.value);
  const most = Math.max(...sorted.map(({ value }) => value));
  const height = TOP + sorted.length * ROW_HEIGHT + 8;
  const rows = sorted.map(({ name, value, isOwn }, i) => {
    const y = TOP + i * ROW_HEIGHT;
    const width = Math.max(1, (value / most) * (WIDTH - NAMES_WIDTH - VALUES_WIDTH));
    const middle = y + BAR_HEIGHT - 3;
    const kind = isOwn ? "own" : "peer";
    return `  <text${isOwn ? ' class="own"' : ""} x="${NAMES_WIDTH - 10}" y="${middle}" text-anchor="end">${escapeXml(name)}</text>
  <rect class="${kind}" x="${NAMES_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" rx="2"/>
  <text class="soft" x="${(NAMES_WIDTH + width + 6).toFixed(1)}" y="${middle}">${value.toFixed(1)} ${escapeXml(unit)}</text>`;
  });
  const label = sorted.map(({ name, value }) => `${name} ${value.toFixed(1)} ${unit}`).join(", ");
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeXml(`${title}: ${label}`)}">
  <style>${STYLE}
  </style>
  <text class="title" x="16" y="24">${escapeXml(title)}</text>
  <text class="soft" x="16" y="44">${escapeXml(subtitle)}</text>
${rows.join("\n")}
</svg>
`;
}
