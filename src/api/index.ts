/** The control API, as the command line uses it. */
export { readDirectory, DirectoryError } from './auth/directory.js';
export { Keystone } from './auth/keystone.js';
export { hashPassword } from './auth/password.js';
export { noAuthentication } from './auth/none.js';
export { Tokens } from './auth/tokens.js';
export { Api, ListenError, type ApiSettings } from './api.js';
export { backupOf, recordsOfBackup, restore } from './backup.js';
export { ImportError, recordsOf } from './import.js';
export {
  apiDocument,
  backup,
  importRecords,
  neutronDocument,
  restoreBackup,
  storeDocument,
  type Place,
} from './transfer.js';
export { EtcdAddressError, isEtcdAddress, parseEtcdAddress } from '../etcd/address.js';
export { LmdbStore } from './store/lmdb.js';
export { StoreError, type Store } from './store/store.js';
export { DatabaseSource } from './topology/source.js';
