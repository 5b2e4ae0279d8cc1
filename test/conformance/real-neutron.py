"""A real Neutron, from the distribution's packages, on loopback with sqlite.

  real-neutron.py FOLDER KEYSTONE [--page N] [--port PORT] [--bus URL [--notify]]

Everything of it is in the folder; prints {"url": ..} when it serves; ends with its stdin. Started again with the same folder it knows what it knew.
It asks the Keystone at that URL about each token, as user neutron, password secret, of project service. A page of a list has N objects at most
(5). Without a transport URL it has no message bus; --notify has it publish notifications there, too.
"""
import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

SERVER = 'import sys; from neutron.cmd.eventlet.server import main; sys.argv[0] = "neutron-server"; main()'

CONFIG = """
[DEFAULT]
bind_host = 127.0.0.1
bind_port = {port}
host = neutron-test
auth_strategy = keystone
api_paste_config = /etc/neutron/api-paste.ini
core_plugin = ml2
service_plugins =
transport_url = {bus}
state_path = {folder}
log_file = {folder}/neutron.log
use_stderr = false
api_workers = 0
rpc_workers = 0
rpc_state_report_workers = 0
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
pagination_max_limit = {page}
agent_down_time = 100000
[database]
connection = sqlite:///{folder}/neutron.sqlite
[oslo_concurrency]
lock_path = {folder}
[oslo_messaging_notifications]
driver = {notifier}
[oslo_policy]
policy_file = {folder}/policy.yaml
[ml2]
type_drivers = local,flat,vlan,vxlan
tenant_network_types = vxlan
mechanism_drivers = openvswitch
extension_drivers = port_security
[ml2_type_vlan]
network_vlan_ranges = physnet1:100:199
[ml2_type_vxlan]
vni_ranges = 1:1000
[keystone_authtoken]
www_authenticate_uri = {keystone}v3
auth_url = {keystone}v3
auth_type = password
# A token that is refused by keystone is refused here at once.
token_cache_time = -1
username = neutron
password = secret
project_name = service
user_domain_id = default
project_domain_id = default
"""


def make_schema(url):
    """From the models: sqlite knows too little for the migrations, whose end is the same."""
    import sqlalchemy as sa
    from alembic import script
    from neutron.db.migration import cli
    from neutron.db.migration.models import head
    engine = sa.create_engine(url)
    head.get_metadata().create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.text('CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL)'))
        for config in cli.get_alembic_configs():
            for revision in script.ScriptDirectory.from_config(config).get_heads():
                connection.execute(sa.text('INSERT INTO alembic_version VALUES (:head)'), {'head': revision})


def free_port():
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        return one.getsockname()[1]


def answers(url):
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        # Nobody is known yet: it answers.
        return True
    except OSError:
        return False
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('folder', type=os.path.abspath)
    parser.add_argument('keystone')
    parser.add_argument('--page', type=int, default=5)
    parser.add_argument('--port', type=int)
    parser.add_argument('--bus', default='fake:/')
    parser.add_argument('--notify', action='store_true')
    args = parser.parse_args()
    folder, port = args.folder, args.port or free_port()
    if not os.path.exists(os.path.join(folder, 'neutron.sqlite')):
        make_schema(f'sqlite:///{folder}/neutron.sqlite')
    url = f'http://127.0.0.1:{port}'
    with open(os.path.join(folder, 'neutron.conf'), 'w') as file:
        notifier = 'messagingv2' if args.notify else 'noop'
        file.write(CONFIG.format(folder=folder, port=port, keystone=args.keystone, page=args.page, bus=args.bus, notifier=notifier))
    open(os.path.join(folder, 'policy.yaml'), 'w').close()
    command = [sys.executable, '-c', SERVER, '--config-file', os.path.join(folder, 'neutron.conf')]
    with open(os.path.join(folder, 'neutron.out'), 'w') as output:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        while not answers(f'{url}/v2.0/networks'):
            if server.poll() is not None:
                with open(os.path.join(folder, 'neutron.out')) as output:
                    sys.exit(f'neutron-server ended with {server.returncode}:\n{output.read()[-2000:]}')
            time.sleep(0.2)
        print(json.dumps({'url': url}), flush=True)
        sys.stdin.read()
    finally:
        server.kill()
        server.wait()


main()
