"""The container-services lab, typed as a user types it."""

import os
import pathlib

import pytest

from conftest import ROOT

CLIS = {"v2 of Debian": "/usr/bin/aws", "v1 of PyPI": str(ROOT / ".venv" / "cli-v1" / "bin" / "aws")}

LAB = r"""
exec 2>&1
NAME=lab-{name}
{aws_function}
aws ecr create-repository --repository-name $NAME --query repository.repositoryUri --output text
aws ecr get-login-password | skopeo login --tls-verify=false --username AWS --password-stdin localhost:{port}
skopeo copy --quiet --src-tls-verify=false --dest-tls-verify=false docker://localhost:{port}/busybox docker://localhost:{port}/$NAME:v1
SUBNETS=$(aws ec2 describe-subnets --query "join(',', Subnets[].SubnetId)" --output text)
GROUP=$(aws ec2 create-security-group --group-name $NAME --description lab --query GroupId --output text)
aws ec2 authorize-security-group-ingress --group-id $GROUP --protocol tcp --port 8443 --cidr 0.0.0.0/0
aws logs create-log-group --log-group-name /ecs/$NAME
aws iam create-role --role-name $NAME-exec --assume-role-policy-document '{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"ecs-tasks.amazonaws.com"}},"Action":"sts:AssumeRole"}}]}}'
aws iam attach-role-policy --role-name $NAME-exec --policy-arn arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy
aws ecs register-task-definition --family $NAME --requires-compatibilities FARGATE --network-mode awsvpc --cpu 256 --memory 512 \
  --execution-role-arn arn:aws:iam::000000000000:role/$NAME-exec \
  --container-definitions '[{{"name":"web","image":"000000000000.dkr.ecr.us-east-1.amazonaws.com/'$NAME':v1","essential":true,
    "entryPoint":["/bin/sh","-c"],"command":["echo hello > /www/index.html; echo serving; exec httpd -f -p 8443 -h /www"],
    "portMappings":[{{"containerPort":8443,"protocol":"tcp"}}],
    "logConfiguration":{{"logDriver":"awslogs","options":{{"awslogs-group":"/ecs/'$NAME'","awslogs-region":"us-east-1","awslogs-stream-prefix":"web"}}}}}}]'
aws ecs create-cluster --cluster-name $NAME
TASK=$(aws ecs run-task --cluster $NAME --task-definition $NAME --launch-type FARGATE --count 1 \
  --network-configuration "awsvpcConfiguration={{subnets=[$SUBNETS],securityGroups=[$GROUP],assignPublicIp=ENABLED}}" --query 'tasks[0].taskArn' --output text)
aws ecs wait tasks-running --cluster $NAME --tasks $TASK
ENI=$(aws ecs describe-tasks --cluster $NAME --tasks $TASK --query "tasks[0].attachments[0].details[?name=='networkInterfaceId'].value" --output text)
ADDRESS=$(aws ec2 describe-network-interfaces --network-interface-ids $ENI --query 'NetworkInterfaces[0].Association.PublicIp' --output text)
echo "page: $(curl --silent --show-error --retry 10 --retry-connrefused --retry-delay 1 --max-time 10 http://$ADDRESS:8443)"
{logs}
aws ecs stop-task --cluster $NAME --task $TASK --reason "the lab is over"
aws ecs wait tasks-stopped --cluster $NAME --tasks $TASK
aws ecs describe-tasks --cluster $NAME --tasks $TASK --query 'tasks[0].stoppedReason' --output text
aws ecs deregister-task-definition --task-definition $NAME:1
aws ecs delete-cluster --cluster $NAME --query cluster.status --output text
"""


@pytest.mark.parametrize("cli", CLIS)
def test_the_lab_as_typed(platform, lab, cli):
    program = CLIS[cli]
    assert os.path.exists(program), f"{program} is not installed; make setup installs it"
    second = cli.startswith("v2")
    name = "two" if second else "one"
    # `longshore env` looks at the first CLI on the path. Version 1 reads the endpoint from the environment.
    function = "" if second else f'aws() {{ {program} "$@"; }}'
    logs = "until aws logs tail /ecs/$NAME | grep serving; do :; done; timeout 4 aws --endpoint-url $AWS_ENDPOINT_URL logs tail /ecs/$NAME --follow || [ $? = 124 ]" if second else "until aws logs filter-log-events --log-group-name /ecs/$NAME | grep serving; do :; done"
    script = LAB.format(name=name, port=platform.port, aws_function=function, logs=logs)
    output = platform.shell(script, timeout=240).stdout
    assert "page: hello" in output
    assert "serving" in output.split("page: hello")[1]
    assert "the lab is over" in output
    assert output.rstrip().endswith("INACTIVE")


def test_env_speaks_to_any_shell(platform):
    done = platform.shell("aws sts get-caller-identity --query Account --output text")
    assert done.stdout.strip() == "000000000000"


def test_help_names_every_command():
    import subprocess

    from conftest import BIN

    text = subprocess.run([BIN, "--help"], capture_output=True, text=True, check=True).stdout
    for command in ("up", "env", "doctor", "demo"):
        assert f"\n  {command}" in text
    assert pathlib.Path(BIN).exists()
