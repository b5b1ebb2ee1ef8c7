"""Prepares a moto server as an AWS account: run on the operator's host, prints as JSON what cluster.yaml asks for.

fake_aws.py prepare CIDR PUBLIC_KEY OPERATOR_ADDRESS    network, key and the security group that cluster.yaml describes
fake_aws.py show                                         instances and security groups
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import boto3

REGION = "us-east-1"
KEY = "operator"


def prepare(cidr: str, public_key: str, operator: str) -> dict[str, Any]:
    ec2 = boto3.client("ec2", region_name=REGION)
    vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=f"{REGION}a")["Subnet"]["SubnetId"]
    ec2.import_key_pair(KeyName=KEY, PublicKeyMaterial=Path(public_key).read_bytes())
    group = ec2.create_security_group(GroupName="ser-search", Description="ser-search", VpcId=vpc)["GroupId"]
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": f"{operator}/32"}]}
    among_themselves = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh, among_themselves])
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    return {"subnet": subnet, "security_group": group, "image": image, "key_name": KEY}


def show() -> dict[str, Any]:
    ec2 = boto3.client("ec2", region_name=REGION)
    instances = [each for group in ec2.describe_instances()["Reservations"] for each in group["Instances"]]
    groups = ec2.describe_security_groups()["SecurityGroups"]
    return {
        "instances": [
            {
                "type": instance["InstanceType"],
                "state": instance["State"]["Name"],
                "spot": instance.get("InstanceLifecycle") == "spot",
                "address": instance.get("PrivateIpAddress"),
                "groups": [group["GroupName"] for group in instance["SecurityGroups"]],
            }
            for instance in instances
        ],
        "ssh_from": sorted(
            source["CidrIp"]
            for group in groups
            for rule in group["IpPermissions"]
            for source in rule["IpRanges"]
            if rule.get("FromPort", 0) <= 22 <= rule.get("ToPort", 65535)
        ),
    }


if __name__ == "__main__":
    print(json.dumps(prepare(*sys.argv[2:]) if sys.argv[1] == "prepare" else show()))
