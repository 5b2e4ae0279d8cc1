/** Bodies of requests: JSON whatever the Content-Type says (clients say many things, and mean JSON), not too deep. */
import type { FastifyInstance } from 'fastify';
import { ApiError, badRequest } from './errors.js';

/**
 * Lists and objects within each other. Nothing that we keep needs more than a few; what walks through a body (and through what is
 * stored of it, on its way to followers) recurses, and a stack has an end.
 */
const MOST_DEPTH = 32;

export function parseJsonAlways(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  const parse = app.getDefaultJsonParser('remove', 'remove');
  app.addContentTypeParser('*', { parseAs: 'string' }, (request, body, done) => {
    const text = body.toString();
    if (text === '') {
      done(null, undefined);
      return;
    }
    if (isDeeperThan(text, MOST_DEPTH)) {
      done(badRequest(`Malformed request body: nested deeper than ${MOST_DEPTH.toString()}`), undefined);
      return;
    }
    void parse(request, text, (error: Error | null, value: unknown) => {
      if (error === null) done(null, value);
      else done(new ApiError('MalformedRequestBody', 'Malformed request body'), undefined);
    });
  });
}

/** Of JSON; of what is none it may say anything. */
function isDeeperThan(text: string, most: number): boolean {
  let depth = 0;
  let isInString = false;
  for (let index = 0; index < text.length; index++) {
    const char = text[index];
    if (isInString) {
      if (char === '\\') index++;
      else if (char === '"') isInString = false;
    } else if (char === '"') isInString = true;
    else if (char === '[' || char === '{') {
      if (++depth > most) return true;
    } else if (char === ']' || char === '}') depth--;
  }
  return false;
}
