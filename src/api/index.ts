/** The control API, as the command line uses it. */
export { readDirectory, DirectoryError } from './auth/directory.js';
export { Keystone } from './auth/keystone.js';
export { noAuthentication } from './auth/none.js';
export { Tokens } from './auth/tokens.js';
export { Api, type ApiSettings } from './api.js';
export { ImportError, recordsOf } from './import.js';
export { apiDocument, importRecords, neutronDocument, storeDocument } from './transfer.js';
export { LmdbStore } from './store/lmdb.js';
export { StoreError } from './store/store.js';
export { DatabaseSource } from './topology/source.js';
