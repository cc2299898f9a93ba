#!/bin/bash
#SBATCH --job-name=mlctl-0123456789abcdef
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --chdir=/shared/project
#SBATCH --output=/shared/project/.mlctl/job/slurm-%j.log
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@60
#SBATCH --partition=gpu
#SBATCH --account=team
#SBATCH --qos=high
#SBATCH --time=91
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --mem=64G
#SBATCH --constraint='a100&ib'
#SBATCH --requeue

export DS_ACCELERATOR=cpu
export PATH=/venv/bin:/bin
type module >/dev/null 2>&1 || . /etc/profile
module load cuda/12.8 nccl
# a job that Slurm has queued again: away with what the ranks before left about their end
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then rm -rf /shared/project/.mlctl/job/errors /shared/project/.mlctl/job/ranks-ended.json; fi
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
master=$(scontrol show node "$first" --oneliner | sed -n 's/.* NodeAddr=\([^ ]*\).*/\1/p')
port=$((20000 + SLURM_JOB_ID % 20000))
export master port
# told to save, which only this shell is: hand it on to the ranks, once
trap 'trap "" TERM; scancel --signal=TERM "$SLURM_JOB_ID"' TERM
srun --kill-on-bad-exit=1 bash -c 'exec /venv/bin/python -m mlctl.runtime.trainer.executors.agent /shared/project/.mlctl/job "$SLURM_NODEID" --nnodes 2 --node-rank "$SLURM_NODEID" --master-addr "$master" --master-port "$port" --nproc-per-node 4 -m mlctl.runtime.trainer.worker /shared/project/.mlctl/job' &
step=$!
while kill -0 "$step" 2>/dev/null; do wait "$step"; code=$?; done
exit "$code"
