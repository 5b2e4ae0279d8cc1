// What vitest tells scripts/test.mjs: a line of JSON for each thing that happens, appended to the file that PORTCULLIS_EVENTS names.
import { appendFileSync } from 'node:fs';
import { relative } from 'node:path';

const named = (entity) => ({
  file: relative(process.cwd(), entity.module?.moduleId ?? entity.moduleId),
  name: entity.fullName ?? '',
});
const errorsOf = (errors) =>
  errors.map(({ message, stack, diff }) => ({ message: message ?? '', stack: stack ?? '', diff: diff ?? '' }));

export default class EventReporter {
  #file = process.env.PORTCULLIS_EVENTS;

  onTestModuleStart(module) {
    this.#tell({ kind: 'file', ...named(module) });
  }

  onTestModuleEnd(module) {
    this.#failures(module);
  }

  onTestSuiteResult(suite) {
    this.#failures(suite);
  }

  onTestCaseReady(test) {
    this.#tell({ kind: 'begin', ...named(test) });
  }

  onTestCaseResult(test) {
    const { state, errors = [] } = test.result();
    const milliseconds = Math.round(test.diagnostic()?.duration ?? 0);
    const { testimony } = test.meta();
    this.#tell({ kind: 'end', ...named(test), state, milliseconds, errors: errorsOf(errors), testimony });
  }

  onTestRunEnd(_modules, unhandled) {
    if (unhandled.length > 0)
      this.#tell({ kind: 'broken', file: '', name: 'outside of any test', errors: errorsOf(unhandled) });
  }

  /** What fails outside of a test: a file that cannot be read, a hook. Its tests are not run, and must not be missed in silence. */
  #failures(entity) {
    const errors = errorsOf(entity.errors());
    if (errors.length > 0) this.#tell({ kind: 'broken', ...named(entity), errors });
  }

  #tell(event) {
    if (this.#file !== undefined) appendFileSync(this.#file, `${JSON.stringify(event)}\n`);
  }
}
