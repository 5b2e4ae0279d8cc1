import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseTopology, printTopology } from '../../../compiler/model/index.js';
import { arbitraryTopology } from '../../support/arbitrary-topology.js';

it('a printed topology parses to an equal one', () => {
  fc.assert(
    fc.property(arbitraryTopology(), (topology) => {
      const content: unknown = JSON.parse(JSON.stringify(printTopology(topology)));
      const { topology: again, problems } = parseTopology([{ file: 'printed', content }]);
      expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
      expect(again).toEqual(topology);
    }),
  );
});
