// `npm run package`: a Debian package of what is built, for this machine's architecture; nothing is downloaded. docs/install.md.
//   --with-node         brings the Node that runs this along, for hosts whose own is too old
//   --revision N        of the package, 1 if absent: what is built anew from the same version needs a higher one
//   --output FOLDER     where it is put, here if absent
//   --no-check          leaves out lintian(1), which looks at it where it is installed
// The same sources and SOURCE_DATE_EPOCH (else the last commit's time) make the same bytes.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { writeManuals } from './package/manuals.mjs';
import { copyPackage, licenceOf, productionPackages } from './package/modules.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const PACKAGING = join(ROOT, 'packaging');
/** Debian's names of what Node calls so. */
const ARCHITECTURES = { x64: 'amd64', arm64: 'arm64' };
/** As in Debian 12, the oldest that it is tried on. */
const LIBRARIES = ['libc6 (>= 2.36)', 'libstdc++6 (>= 12)'];
const NODE_LIBRARIES = /^(linux-vdso|libdl|libstdc\+\+|libm|libgcc_s|libpthread|libc|ld-linux[-\w]*|libatomic)\.so/;
/** Where distributions and archives of Node put its licence, from the folder above its own. */
const NODE_LICENCES = ['LICENSE', 'share/doc/nodejs/LICENSE'];
const HOME = 'usr/lib/portcullis';
const MAIN = `${HOME}/dist/bin/portcullis.js`;
const DOC = 'usr/share/doc/portcullis';

const { values: asked } = parseArgs({
  options: {
    'with-node': { type: 'boolean', default: false },
    revision: { type: 'string', default: '1' },
    output: { type: 'string', default: '.' },
    'no-check': { type: 'boolean', default: false },
  },
});

function fail(line) {
  process.stderr.write(`package: ${line}\n`);
  process.exit(1);
}

if (!/^[1-9]\d*$/.test(asked.revision)) fail(`--revision: "${asked.revision}" is not a number of 1 or more`);
const architecture = ARCHITECTURES[process.arch] ?? fail(`no package for ${process.platform} on ${process.arch}`);
if (!existsSync(join(ROOT, 'dist', 'bin', 'portcullis.js'))) fail('dist/bin is not there: npm run build');
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const node = asked['with-node'] ? theNode() : undefined;
const version = `${manifest.version}-${asked.revision}${node === undefined ? '' : `+node${process.versions.node}`}`;
const epoch = process.env.SOURCE_DATE_EPOCH ?? lastCommit();
const date = new Date(1000 * Number(epoch));
const maintainer = `${process.env.DEBFULLNAME ?? 'Portcullis'} <${process.env.DEBEMAIL ?? 'maintainers@portcullis.invalid'}>`;

/** When the tree was last changed, in seconds; where there is no repository, the start of all time. */
function lastCommit() {
  const { stdout, status } = spawnSync('git', ['log', '-1', '--format=%ct'], { cwd: ROOT, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : '0';
}

/** The program that runs this, if it is all in one file, and its licence. */
function theNode() {
  const program = realpathSync(process.execPath);
  const linked = execFileSync('ldd', [program], { encoding: 'utf8' }).match(/[^\s/]+\.so[.\d]*(?=\s)/g) ?? [];
  const other = linked.find((name) => !NODE_LIBRARIES.test(name));
  if (other !== undefined) fail(`${program} needs ${other}: take a Node from nodejs.org`);
  const above = dirname(dirname(program));
  const licence = NODE_LICENCES.map((path) => join(above, path)).find(existsSync);
  return { program, licence: licence ?? fail(`${above} has no licence of Node: take an archive from nodejs.org`) };
}

const folder = mkdtempSync(join(tmpdir(), 'portcullis-package-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const tree = join(folder, 'tree');
const at = (...path) => {
  const file = join(tree, ...path);
  mkdirSync(dirname(file), { recursive: true });
  return file;
};
const put = (path, content) => writeFileSync(at(path), content);
const putZipped = (path, content) => put(`${path}.gz`, gzipSync(content, { level: 9 }));

function putProgram() {
  cpSync(join(ROOT, 'dist', 'bin'), at(HOME, 'dist', 'bin'), { recursive: true });
  put(join(HOME, 'package.json'), readFileSync(join(ROOT, 'package.json')));
  for (const { path } of productionPackages(ROOT)) copyPackage(realpathSync(join(ROOT, path)), at(HOME, path));
  if (node !== undefined) copyFileSync(node.program, at(HOME, 'node'));
  // The Node of the package's dependency, or its own: not whatever comes first in somebody's PATH.
  const text = readFileSync(at(MAIN), 'utf8');
  if (node === undefined) {
    writeFileSync(at(MAIN), text.replace(/^#!.*/, '#!/usr/bin/node'));
    symlinkSync('../lib/portcullis/dist/bin/portcullis.js', at('usr/bin/portcullis'));
  } else {
    writeFileSync(at(MAIN), text.replace(/^#!.*\n/, ''));
    put('usr/bin/portcullis', `#!/bin/sh\nexec /${HOME}/node /${MAIN} "$@"\n`);
  }
}

function putSystem() {
  for (const name of readdirSync(join(ROOT, 'systemd')))
    copyFileSync(join(ROOT, 'systemd', name), at('usr/lib/systemd/system', name));
  copyFileSync(join(ROOT, 'examples', 'portcullis.yaml'), at('etc', 'portcullis', 'portcullis.yaml'));
  const completions = {
    bash: 'usr/share/bash-completion/completions/portcullis',
    zsh: 'usr/share/zsh/vendor-completions/_portcullis',
    fish: 'usr/share/fish/vendor_completions.d/portcullis.fish',
  };
  for (const [shell, path] of Object.entries(completions)) {
    const program = join(ROOT, 'dist', 'bin', 'portcullis.js');
    put(path, execFileSync(process.execPath, [program, 'completion', shell], { cwd: folder }));
  }
  copyFileSync(join(PACKAGING, 'lintian-overrides'), at('usr/share/lintian/overrides/portcullis'));
}

function putDocs() {
  const manuals = join(folder, 'man');
  for (const page of writeManuals(manuals, { version: manifest.version, date: date.toISOString().slice(0, 10) }))
    putZipped(join('usr/share/man', relative(manuals, page)), readFileSync(page));
  putZipped(join(DOC, 'changelog'), readFileSync(join(ROOT, 'CHANGELOG.md')));
  const stamp = date.toUTCString().replace('GMT', '+0000');
  const entry = [`portcullis (${version}) unstable; urgency=medium`, `  * Portcullis ${manifest.version}.`];
  putZipped(join(DOC, 'changelog.Debian'), `${[...entry, ` -- ${maintainer}  ${stamp}`].join('\n\n')}\n`);
  put(join(DOC, 'copyright'), copyright());
  if (node !== undefined) putZipped(join(DOC, 'LICENSE.node'), readFileSync(node.licence));
  cpSync(join(ROOT, 'examples'), at(DOC, 'examples'), { recursive: true });
}

function copyright() {
  const head = readFileSync(join(PACKAGING, 'copyright'), 'utf8');
  const own = node === undefined ? '' : `\nIt comes with Node.js ${process.versions.node}: LICENSE.node.gz.\n`;
  const parts = productionPackages(ROOT).map(({ path, version: one, license }) => {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    return `${name} ${one}\n${'-'.repeat(name.length + one.length + 1)}\n${licenceOf(join(ROOT, path), license)}\n`;
  });
  return [head + own, ...new Set(parts)].join('\n');
}

const PROGRAMS = ['usr/bin/portcullis', `${HOME}/node`, `${DOC}/examples/plug`, `${DOC}/examples/certify`];
if (node === undefined) PROGRAMS.push(MAIN);

/** Modes that hang on nobody's umask. */
function setModes() {
  chmodSync(tree, 0o755);
  for (const entry of readdirSync(tree, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath ?? entry.path, entry.name);
    if (!entry.isSymbolicLink())
      chmodSync(file, entry.isDirectory() || PROGRAMS.includes(relative(tree, file)) ? 0o755 : 0o644);
  }
}

/** Files of the tree in order, without links. */
const files = () =>
  readdirSync(tree, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(tree, join(entry.parentPath ?? entry.path, entry.name)))
    .sort();

function putControl() {
  const own = files();
  const bytes = own.reduce((sum, name) => sum + 1024 * Math.ceil(statSync(join(tree, name)).size / 1024), 0);
  const needs = [...(node === undefined ? ['nodejs (>= 20.19)'] : []), 'nftables (>= 1.0.6)', ...LIBRARIES];
  const fields = {
    Package: 'portcullis',
    Version: version,
    Architecture: architecture,
    Maintainer: maintainer,
    'Installed-Size': Math.ceil(bytes / 1024),
    Depends: needs.join(', '),
    Recommends: 'systemd',
    Suggests: 'iptables, ipset',
    Section: 'net',
    Priority: 'optional',
    Description: readFileSync(join(PACKAGING, 'description'), 'utf8').trimEnd(),
  };
  const sums = own.map(
    (name) =>
      `${createHash('md5')
        .update(readFileSync(join(tree, name)))
        .digest('hex')}  ${name}\n`,
  );
  put(
    'DEBIAN/control',
    Object.entries(fields)
      .map(([name, value]) => `${name}: ${value}\n`)
      .join(''),
  );
  put('DEBIAN/conffiles', '/etc/portcullis/portcullis.yaml\n');
  put('DEBIAN/md5sums', sums.join(''));
  setModes();
  for (const name of ['postinst', 'prerm', 'postrm']) {
    copyFileSync(join(PACKAGING, name), at('DEBIAN', name));
    chmodSync(at('DEBIAN', name), 0o755);
  }
}

putProgram();
putSystem();
putDocs();
putControl();
mkdirSync(asked.output, { recursive: true });
const file = join(resolve(asked.output), `portcullis_${version}_${architecture}.deb`);
execFileSync('dpkg-deb', ['--build', '--root-owner-group', tree, file], {
  stdio: ['ignore', 'ignore', 'inherit'],
  env: { ...process.env, SOURCE_DATE_EPOCH: epoch },
});
process.stdout.write(`${file}\n`);
if (!asked['no-check']) check();

function check() {
  const options = ['--fail-on', 'error', '--allow-root', '--tag-display-limit', '0', file];
  const { status, error, stdout, stderr } = spawnSync('lintian', options, { encoding: 'utf8' });
  if (error !== undefined) process.stdout.write('lintian: not installed, so not asked\n');
  else if (status === 0) process.stdout.write(`lintian: no errors\n${stdout}`);
  else fail(`lintian:\n${stdout}${stderr}`);
}
