// Prints "N passed, N failed" from vitest's JSON report. A file that could not even be loaded counts as one failure.
import { readFileSync } from "node:fs";

let report;
try {
  report = JSON.parse(readFileSync(process.argv[2], "utf8"));
} catch {
  console.error("The test run wrote no report.");
  console.log("0 passed, 1 failed");
  process.exit(1);
}
const notLoaded = report.testResults.filter(
  ({ status, assertionResults }) =>
    status === "failed" && !assertionResults.some((test) => test.status === "failed"),
).length;
const failed = report.numFailedTests + notLoaded;
console.log(`${report.numPassedTests} passed, ${failed} failed`);
process.exitCode = failed === 0 && report.numPassedTests > 0 ? 0 : 1;
