"""A real Neutron, from the distribution's packages, on loopback with sqlite and without a message bus.

  real-neutron.py FOLDER KEYSTONE    everything of it is in there; prints {"url": ..} when it serves; ends with its stdin

It asks the Keystone at that URL about tokens, as user neutron, password secret, of project service. A page of a list has five objects at most.
"""
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
transport_url = fake:/
state_path = {folder}
log_file = {folder}/neutron.log
use_stderr = false
api_workers = 0
rpc_workers = 0
rpc_state_report_workers = 0
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
pagination_max_limit = 5
[database]
connection = sqlite:///{folder}/neutron.sqlite
[oslo_concurrency]
lock_path = {folder}
[oslo_messaging_notifications]
driver = noop
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
    folder, keystone = os.path.abspath(sys.argv[1]), sys.argv[2]
    make_schema(f'sqlite:///{folder}/neutron.sqlite')
    port = free_port()
    url = f'http://127.0.0.1:{port}'
    with open(os.path.join(folder, 'neutron.conf'), 'w') as file:
        file.write(CONFIG.format(folder=folder, port=port, keystone=keystone))
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
